"""The Visier data version export API, as docs/vendors/visier.md has it; `management` has what is answered at once.

    POST /v1/admin/visierSecureToken                                 a token for username and password
    POST /v1/auth/oauth2/token                                       the same by OAuth
    GET  /v1alpha/data/data-version-exports/data-versions
    POST /v1alpha/data/data-version-exports/jobs
    GET  /v1alpha/data/data-version-exports/jobs/{jobUuid}
    GET  /v1alpha/data/data-version-exports/exports
    GET  /v1alpha/data/data-version-exports/exports/{exportUuid}
    GET  /v1alpha/data/data-version-exports/exports/{exportUuid}/files/{fileId}    and /file/{fileId}

and the jobs of `infra.local.vendors.visier.jobs`. User name, password, api key, vanity name, OAuth client and its
secret are `demo`, unless knobs say otherwise.
"""

import argparse
import base64
import json
import re
import secrets
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote

from infra.local.vendors.server import Bytes, Content, Reply, Request
from infra.local.vendors.simulator import (
    AdminError,
    AdminRoute,
    Allowance,
    Scenario,
    Told,
    VendorSimulator,
    json_reply,
    ranged,
)
from infra.local.vendors.visier.exports import ColumnSet, ExportContent, ExportFile, Shape, contents, sha256
from infra.local.vendors.visier.jobs import Host, JobHandling, RefusedError
from infra.local.vendors.visier.management import Management
from infra.local.vendors.visier.scenarios import SCENARIOS, VisierKnobs
from infra.local.vendors.visier.tables import NUMBERS, Column

_DAY_MS = 24 * 3600 * 1000
_HOURS_OLD = 2
"""So old is the newest data version at first; those before it were made a day apart."""
_API = "/v1alpha/data/data-version-exports"
_DEMO = "demo"
_LIST_ORDER = (2, 0, 3, 1, 5, 4)  # Visier promises no order, so there is none to rely on
_GRANTS = {
    "password",
    "authorization_code",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:saml2-bearer",
    "urn:visier:params:oauth:grant-type:asid-token",
}
_WORDS = {  # for errors that were ordered
    400: "The request is not valid.",
    401: "The credentials have expired.",
    403: "The user lacks a capability.",
    404: "There is no such resource.",
    429: "The API rate limit is exceeded.",
    500: "An unexpected error occurred.",
    502: "Bad gateway.",
    503: "The service is unavailable.",
    504: "The gateway timed out.",
}


class VisierError(Exception):
    """An error as Visier answers it."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass
class Job:
    """`verdict` is what an admin decided: `complete`, `fail` or `freeze`."""

    uuid: str
    tenant: str
    version: int
    base: int | None
    content: int  # the version of the tables that `version` shows
    base_content: int | None
    submitted_at: float
    ready_at: float
    verdict: str = ""
    completed: bool = False
    failed: bool = False
    export_uuid: str = ""


@dataclass
class Export:
    uuid: str
    tenant: str
    version: int
    base: int | None
    finished_at: float
    content: int  # the version of the tables that `version` shows
    base_content: int | None
    shape: Shape
    expired: bool = False


@dataclass(frozen=True)
class FileTruth:
    """What a file is, as served when nothing goes wrong."""

    name: str
    file_id: int
    table: str
    columns_of: str
    size: int
    sha256: str
    rows: int
    actions: Mapping[str, int]


class VisierSimulator(VendorSimulator[VisierKnobs]):
    """Visier for one demo tenant and whatever TargetTenantID names. Knobs: see `VisierKnobs`."""

    SCENARIOS: ClassVar[Mapping[str, Scenario]] = SCENARIOS

    def __init__(self, *, port: int = 0, scenario: str = "success-full", **knobs: object) -> None:
        self._number = 0
        self.loads = JobHandling(Host(lambda: self._knobs, lambda: self._clock, lambda: self._frozen, self.publish))
        super().__init__(VisierKnobs, port=port, scenario=scenario, given=knobs)
        self._forget()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        def option(name: str, kind: Callable[[str], object], text: str, knob: str | None = None) -> None:
            parser.add_argument(name, type=kind, dest=knob, metavar="N", help=text)

        option("--job-seconds", float, "how long a job takes (5)")
        option("--token-seconds", float, "how long a token lasts (3600)")
        option("--jobs-per-day", int, "submissions a day and tenant (10)")
        option("--calls-per-minute", int, "calls a minute and api key (100)")
        option("--published", int, "how many of the six data versions are listed (4)")
        option("--scale", _mebibytes, "adds a generated table, in files of N MiB", "big_file_bytes")
        option("--big-files", int, "how many such files (1)")

    def _forget(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._exports: dict[str, Export] = {}
        self._submitted = Counter[tuple[str, str]]()
        self._tokens: dict[str, float] = {}
        self._frozen = False
        self.loads.forget()
        listed = NUMBERS[: self._knobs.published]
        knobs = self._knobs
        self.management = Management(
            spelling=knobs.tenant_spelling, cut_at=knobs.list_cut_at, none_as_text=knobs.sparse
        )
        newest = int((self._clock.now() - _HOURS_OLD * 3600) * 1000)
        self._versions = {number: (number, newest - age * _DAY_MS) for age, number in enumerate(reversed(listed))}

    # What a test says to it

    def jobs(self) -> list[dict[str, object]]:
        """Every job of every tenant, oldest first."""
        with self._lock:
            self._settle()
            return [asdict(job) for job in self._jobs.values()]

    def exports(self) -> list[dict[str, object]]:
        """Every finished export, also those that have expired."""
        with self._lock:
            self._settle()
            return [asdict(export) for export in self._exports.values()]

    def truth(self, export_uuid: str) -> dict[str, FileTruth]:
        """What a download of each file must come to, by file name."""
        with self._lock:
            self._settle()
            export = self._known(self._exports, export_uuid, "export")
        return {
            file.name: FileTruth(
                name=file.name,
                file_id=file.file_id,
                table=file.table,
                columns_of=file.columns_of,
                size=self._served(file).size,
                sha256=sha256(self._served(file)),
                rows=file.rows,
                actions=file.actions,
            )
            for file in _content(export).files.values()
        }

    def expire_export(self, export_uuid: str) -> None:
        """As though its 14 days had gone."""
        with self._lock:
            self._settle()
            self._known(self._exports, export_uuid, "export").expired = True

    def complete_job(self, job_uuid: str) -> str:
        """End the job well, now.

        Returns:
            The uuid of its export.
        """
        return self._decide(job_uuid, "complete").export_uuid

    def fail_job(self, job_uuid: str) -> None:
        self._decide(job_uuid, "fail")

    def freeze_job(self, job_uuid: str) -> None:
        """Let it run for ever, or until it is told otherwise."""
        self._decide(job_uuid, "freeze")

    def freeze(self, *, frozen: bool = True) -> None:
        """Let no job finish by itself."""
        with self._lock:
            self._settle()
            self._frozen = frozen

    def publish(self, number: int | str | None = None) -> int:
        """List a data version as the newest: the next one (7000005, 7000006, then copies of it) unless one is named.

        Returns:
            Its number.
        """
        with self._lock:
            newest = max(self._versions, key=lambda known: self._versions[known][1], default=NUMBERS[0])
            chosen = int(number) if number is not None else max(*NUMBERS, *self._versions) + 1
            if number is None:
                chosen = next((known for known in NUMBERS if known > max(self._versions, default=0)), chosen)
            content = chosen if chosen in NUMBERS else self._versions.get(newest, (newest, 0))[0]
            after = max((created for _, created in self._versions.values()), default=0) + 1000
            self._versions[chosen] = (content, max(int(self._clock.now() * 1000), after))
            return chosen

    def withdraw(self, number: int | str) -> None:
        """Take a data version off the list, so that nothing can be exported from it, or against it."""
        with self._lock:
            self._known(self._versions, int(number), "data version")
            del self._versions[int(number)]

    def invalidate_tokens(self) -> None:
        """Every token issued so far is refused from now on."""
        with self._lock:
            self._tokens.clear()

    def _decide(self, job_uuid: str, verdict: str) -> Job:
        with self._lock:
            self._settle()
            job = self._known(self._jobs, job_uuid, "job")
            if job.completed or job.failed:
                raise AdminError(f"job {job_uuid} has ended already")
            job.verdict = verdict
            self._settle()
            return job

    def _known[K, T](self, things: Mapping[K, T], key: K, what: str) -> T:
        if key not in things:
            raise AdminError(f"unknown {what} {key}; there are {', '.join(map(str, things)) or 'none'}")
        return things[key]

    def _events(self) -> Mapping[str, Callable[[], object]]:
        return {"expire-tokens": self.invalidate_tokens, "publish": self.publish}

    def _admin_routes(self) -> Sequence[AdminRoute]:
        job, export = r"/jobs/(?P<job>[^/]+)", r"/exports/(?P<export>[^/]+)"
        return [
            AdminRoute("GET", "/jobs", "every job", lambda _: self.jobs()),
            AdminRoute(
                "POST",
                f"{job}/complete",
                "end it well",
                lambda told: {"exportUuid": self.complete_job(told.where["job"])},
            ),
            AdminRoute("POST", f"{job}/fail", "end it badly", lambda told: self.fail_job(told.where["job"])),
            AdminRoute("POST", f"{job}/freeze", "let it run for ever", lambda told: self.freeze_job(told.where["job"])),
            AdminRoute("POST", "/freeze", "{frozen}: let no job finish", self._admin_freeze),
            AdminRoute("GET", "/exports", "every export", lambda _: self.exports()),
            AdminRoute("GET", f"{export}/truth", "its files", lambda told: self._admin_truth(told.where["export"])),
            AdminRoute(
                "POST", f"{export}/expire", "as after 14 days", lambda told: self.expire_export(told.where["export"])
            ),
            AdminRoute("GET", "/versions", "the data versions listed", lambda _: sorted(self._versions)),
            AdminRoute("POST", "/versions", "{number}: list it as newest; {}: the next", self._admin_publish),
            AdminRoute(
                "DELETE",
                r"/versions/(?P<number>\d+)",
                "take it off the list",
                lambda told: self.withdraw(told.where["number"]),
            ),
            *self.loads.admin_routes(),
            AdminRoute("POST", "/tokens/expire", "refuse all tokens so far", lambda _: self.invalidate_tokens()),
        ]

    def _admin_freeze(self, told: Told) -> None:
        self.freeze(frozen=told.body.get("frozen") is not False)

    def _admin_truth(self, export_uuid: str) -> dict[str, object]:
        return {name: asdict(truth) for name, truth in self.truth(export_uuid).items()}

    def _admin_publish(self, told: Told) -> dict[str, str]:
        number = told.body.get("number")
        if not re.fullmatch(r"\d*", str(number or "")):
            raise AdminError(f"number must be a data version number; got {number!r}")
        return {"dataVersion": str(self.publish(number))}

    # Time

    def _settle(self) -> None:
        """Bring every job up to now."""
        now = self._clock.now()
        for job in self._jobs.values():
            due = not self._frozen and now >= job.ready_at and job.verdict != "freeze"
            if job.completed or job.failed or not (due or job.verdict in ("complete", "fail")):
                continue
            ends = {"complete": "success", "fail": "failed"}.get(job.verdict, self._knobs.job_ends)
            if ends == "never":
                continue
            job.failed = ends in ("failed", "failed-completed")
            job.completed = ends != "failed"
            if ends == "success":
                finished_at = now if job.verdict else job.ready_at
                job.export_uuid = str(uuid.uuid4())
                self._exports[job.export_uuid] = Export(
                    job.export_uuid,
                    job.tenant,
                    job.version,
                    job.base,
                    finished_at,
                    job.content,
                    job.base_content,
                    self._shape(),
                )

    def _shape(self) -> Shape:
        return Shape(
            split_rows=self._knobs.split_rows,
            header_only_files=self._knobs.header_only_files,
            awkward_names=self._knobs.awkward_names,
            only=self._knobs.tables,
            big_file_bytes=self._knobs.big_file_bytes,
            big_files=self._knobs.big_files,
        )

    # Calls

    def _answer(self, request: Request) -> Reply:
        try:
            return self._routed(request)
        except VisierError as error:
            return self._error(error)
        except RefusedError as error:
            return self._error(VisierError(error.status, error.code, error.text))

    def _failure(self, status: int) -> Reply:
        return self._error(VisierError(status, f"HTTP{status}", _WORDS.get(status, f"Error {status}.")))

    def _meter(self, request: Request) -> Allowance:
        return self._counters.count(
            request.headers.get("apikey", ""),
            self._clock.now(),
            {"Minute": (60, self._knobs.calls_per_minute), "Hour": (3600, self._knobs.calls_per_hour)},
        )

    def _error(self, error: VisierError) -> Reply:
        self._number += 1
        rci = f"{zlib.crc32(error.code.encode()):08x}-{self._number}"
        body: dict[str, object]
        match self._knobs.errors:
            case "localized":
                body = {"localizedMessage": error.text, "errorCode": error.code, "message": "", "rci": rci}
                body["userError"] = error.status < 500
            case "legacy":
                body = {"errorCode": error.code, "message": error.text, "rci": rci}
            case "code":
                body = {"localizedMessage": error.text, "code": error.code, "message": "", "rci": rci}
        return json_reply(error.status, body)

    def _routed(self, request: Request) -> Reply:
        call = f"{request.method} {request.path}"
        if call == "POST /v1/admin/visierSecureToken":
            _must_accept(request, "text/plain", "application/json")
            return self._log_in(request)
        self._check_api_key(request)
        if call == "POST /v1/auth/oauth2/token":
            _must_accept(request, "application/json")
            return self._authorize(request)
        tenant = self._check_caller(request)
        if found := re.fullmatch(rf"GET {_API}/exports/([^/]+)/(file|files)/([^/]+)", call):
            _must_accept(request, "application/gzip", "application/json")
            return self._download(request, tenant, *found.groups())
        _must_accept(request, "application/json")
        with self._lock:
            if (managed := self.management.answer(request)) is not None:
                return managed
        if reply := self.loads.answer(request, tenant):
            return reply
        return json_reply(200, self._trimmed(self._document(call, request, tenant)))

    def _document(self, call: str, request: Request, tenant: str) -> dict[str, object]:
        if call == f"GET {_API}/data-versions":
            return self._list_versions()
        if call == f"POST {_API}/jobs":
            return self._submit(request, tenant)
        if call == f"GET {_API}/exports":
            return self._list_exports(tenant)
        if found := re.fullmatch(rf"GET {_API}/jobs/([^/]+)", call):
            return self._look_at_job(found[1], tenant)
        if found := re.fullmatch(rf"GET {_API}/exports/([^/]+)", call):
            return self._details(self._available(found[1], tenant))
        raise _not_found(f"There is no {call}.")

    # Who calls

    def _log_in(self, request: Request) -> Reply:
        form = request.form()
        if self._knobs.vanity_required and not form.get("vanityName"):
            raise VisierError(500, "InternalServerError", "An unexpected error occurred.")
        self._check_password(form)
        if form.get("vanityName", self._knobs.vanity_name) != self._knobs.vanity_name:
            raise VisierError(401, "AuthenticationFailed", "The vanity name is not known.")
        token = self._issue()
        text = f'"{token}"\r\n' if self._knobs.quoted_token else token
        return Reply(200, {"Content-Type": "text/plain; charset=utf-8"}, Bytes(text.encode()))

    def _authorize(self, request: Request) -> Reply:
        form = request.form()
        self._check_client(request, form)
        grant = form.get("grant_type", "")
        if grant not in _GRANTS:
            raise VisierError(400, "UnsupportedGrantType", f"The grant type {grant!r} is not supported.")
        if not set(form.get("scope", "read").split()) <= {"read", "write", "openid", "visier:login:bypass_users"}:
            raise VisierError(400, "InvalidScope", "The scope is not valid.")
        if grant == "password":
            self._check_password(form)
        elif grant == "refresh_token":
            self._check_token(form.get("refresh_token", ""), "refresh:")
        elif grant.endswith(":asid-token"):
            self._check_token(form.get("asid_token", ""))
        else:
            raise VisierError(400, "InvalidGrant", "The code or assertion is not valid.")
        return json_reply(
            200,
            {
                "access_token": self._issue(),
                "refresh_token": self._issue("refresh:"),
                "id_token": _random_jwt(),
                "token_type": "Bearer",
                "expires_in": int(self._knobs.token_seconds),
            },
        )

    def _check_client(self, request: Request, form: Mapping[str, str]) -> None:
        expected = f"{_DEMO}:{quote(self._knobs.client_secret, safe='')}"
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            known = scheme.lower() == "basic" and base64.b64decode(given, validate=True) == expected.encode()
        except ValueError:
            known = False
        if not known or form.get("client_id", _DEMO) != _DEMO:
            raise VisierError(401, "InvalidClient", "The client is not known or its secret is wrong.")
        if self._knobs.redirect_uri and form.get("redirect_uri") != self._knobs.redirect_uri:
            raise VisierError(400, "InvalidRedirectUri", "The redirect URI differs from the client's.")

    def _check_password(self, form: Mapping[str, str]) -> None:
        if not form.get("username") or not form.get("password"):
            raise VisierError(400, "MissingParameter", "Both username and password are required.")
        if self._knobs.sso_only:
            raise VisierError(401, "SingleSignOnRequired", "This user must sign in with single sign-on.")
        if (form["username"], form["password"]) != (_DEMO, self._knobs.password):
            raise VisierError(401, "AuthenticationFailed", "The user name or password is wrong.")

    def _check_api_key(self, request: Request) -> None:
        if request.headers.get("apikey") != self._knobs.api_key:
            raise VisierError(401, "InvalidApiKey", "The API key is missing or not valid.")

    def _check_caller(self, request: Request) -> str:
        """The tenant that the caller, who may, acts for."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        self._check_token(token if scheme.lower() == "bearer" else _cookies(request).get("VisierASIDToken", ""))
        tenant = str(request.headers.get("TargetTenantID", ""))
        if tenant and self._knobs.tenants is not None and tenant not in self._knobs.tenants:
            raise VisierError(403, "TenantAccessDenied", f"The user has no access to tenant {tenant}.")
        if not self._knobs.capable:
            raise VisierError(403, "MissingCapability", "The user needs the Manage Jobs capability.")
        return tenant

    def _check_token(self, token: str, kind: str = "") -> None:
        with self._lock:
            expires_at = self._tokens.get(kind + token)
        if expires_at is None or self._clock.now() >= expires_at:
            raise VisierError(401, "AuthenticationExpired", "The credentials are missing or have expired.")

    def _issue(self, kind: str = "") -> str:
        token = _random_jwt()
        lifetime = self._knobs.token_seconds * (24 if kind else 1)
        with self._lock:
            self._tokens[kind + token] = self._clock.now() + lifetime
        return token

    # Versions, jobs and exports

    def _list_versions(self) -> dict[str, object]:
        with self._lock:
            listed = [
                {"dataVersion": str(number), "dataCategory": "", "created": str(created)}
                for number, (_, created) in self._versions.items()
            ]
        if self._knobs.other_category:
            newest = max(int(version["created"]) for version in listed) + 1000
            listed.append({"dataVersion": "9110004", "dataCategory": "talent-acquisition", "created": str(newest)})
        places = sorted(range(len(listed)), key=lambda at: _LIST_ORDER[at] if at < len(_LIST_ORDER) else -at)
        return {"dataVersions": [listed[at] for at in places]}

    def _submit(self, request: Request, tenant: str) -> dict[str, object]:
        if self._knobs.refuses_jobs:
            raise VisierError(
                400, "DVExportNotAvailable", "La version de données demandée n'est pas prête à être exportée."
            )
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise VisierError(400, "InvalidRequest", "The body is not a JSON object.")
        version = _version_number(body, "dataVersionNumber")
        base = _version_number(body, "baseDataVersionNumber")
        with self._lock:
            if version is None:
                raise VisierError(400, "InvalidRequest", "dataVersionNumber is required.")
            for number in (version, base):
                if number is not None and number not in self._versions:
                    raise VisierError(400, "DataVersionNotFound", f"Expected data version {number} is not available.")
            if base is not None and self._versions[base][1] >= self._versions[version][1]:
                raise VisierError(400, "InvalidBaseVersion", f"Base version {base} is not older than {version}.")
            now = self._clock.now()
            today = (tenant, datetime.fromtimestamp(now, UTC).date().isoformat())
            if self._submitted[today] >= self._knobs.jobs_per_day:
                text = f"The limit of {self._knobs.jobs_per_day} data version export jobs per day is reached."
                raise VisierError(429, "DVExportJobLimitReached", text)
            self._submitted[today] += 1
            job = Job(
                str(uuid.uuid4()),
                tenant,
                version,
                base,
                content=self._versions[version][0],
                base_content=None if base is None else self._versions[base][0],
                submitted_at=now,
                ready_at=now + self._knobs.job_seconds,
            )
            self._jobs[job.uuid] = job
        return {"jobUuid": job.uuid}

    def _look_at_job(self, job_uuid: str, tenant: str) -> dict[str, object]:
        with self._lock:
            self._settle()
            job = self._jobs.get(job_uuid)
            if job is None or job.tenant != tenant:
                raise _not_found(f"There is no job {job_uuid}.")
            return {
                "jobUuid": job.uuid,
                "completed": job.completed,
                "failed": job.failed,
                "exportUuid": job.export_uuid,
            }

    def _list_exports(self, tenant: str) -> dict[str, object]:
        with self._lock:
            self._settle()
            there = [e for e in self._exports.values() if e.tenant == tenant and not self._gone(e)]
        return {"dataVersionExports": [self._details(export) for export in there]}

    def _available(self, export_uuid: str, tenant: str) -> Export:
        with self._lock:
            self._settle()
            export = self._exports.get(export_uuid)
            if export is None or export.tenant != tenant or self._gone(export):
                raise _not_found(f"There is no export {export_uuid}.")
            return export

    def _gone(self, export: Export) -> bool:
        return export.expired or self._clock.now() >= export.finished_at + self._knobs.retention_seconds

    def _details(self, export: Export) -> dict[str, object]:
        content = _content(export)
        return {
            "uuid": export.uuid,
            "timestamp": str(int(export.finished_at * 1000)),
            "dataVersionNumber": str(export.version),
            "baseDataVersionNumber": "" if export.base is None else str(export.base),
            "tables": [
                {
                    "name": table.name,
                    "commonColumns": self._column_set(table.common),
                    "newColumns": self._column_set(table.new),
                    "deletedColumns": list(table.deleted_columns),
                }
                for table in content.tables
            ],
            "newTables": list(content.new_tables),
            "deletedTables": list(content.deleted_tables),
        }

    def _column_set(self, columns: ColumnSet) -> dict[str, object]:
        return {
            "columns": [
                {
                    "name": column.name,
                    "dataType": self._data_type(column),
                    "allowsNull": column.nullable,
                    "isPrimaryKeyComponent": column.key,
                }
                for column in columns.columns
            ],
            "files": [{"fileId": file.file_id, "filename": file.name} for file in columns.files],
        }

    def _data_type(self, column: Column) -> str:
        if not self._knobs.odd_types:
            return column.data_type
        return "Duration" if column.name == "Air_Time" else column.data_type.lower()

    def _trimmed(self, document: dict[str, object]) -> object:
        return _without_empty(document) if self._knobs.sparse else document

    # Files

    def _download(self, request: Request, tenant: str, export_uuid: str, path: str, file_id: str) -> Reply:
        if path not in self._knobs.paths:
            raise _not_found(f"There is no {request.method} {request.path}.")
        export = self._available(export_uuid, tenant)
        file = _content(export).files.get(int(file_id)) if file_id.isdecimal() else None
        if file is None or self._knobs.files_gone:
            raise _not_found(f"There is no file {file_id} in export {export_uuid}.")
        content = self._served(file)
        headers: dict[str, str | None] = {"Content-Type": "application/gzip"}
        if self._knobs.content_encoding and not self._knobs.decoded:
            headers["Content-Encoding"] = "gzip"
        reply = Reply(200, headers, content, self._knobs.framing)
        return ranged(request, reply, etag=f'"{export.uuid}-{file_id}"') if self._knobs.ranges else reply

    def _served(self, file: ExportFile) -> Content:
        return _decoded(file.content) if self._knobs.decoded else file.content


def _content(export: Export) -> ExportContent:
    return contents(export.content, export.base_content, export.shape)


@lru_cache(maxsize=4)
def _decoded(content: Content) -> Content:
    unpacker = zlib.decompressobj(31)
    return Bytes(b"".join(unpacker.decompress(chunk) for chunk in content.chunks(0, content.size)))


def _mebibytes(text: str) -> int:
    return int(float(text) * 1024 * 1024)


def _version_number(body: Mapping[str, object], name: str) -> int | None:
    value = body.get(name)
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,19}", str(value)):
        raise VisierError(400, "InvalidRequest", f"{name} is not a number.")
    return int(str(value))


def _must_accept(request: Request, *kinds: str) -> None:
    """406, unless the caller takes one of the kinds."""
    ranges = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept", "*/*").split(",")]
    taken = {"*/*", *kinds, *(f"{kind.partition('/')[0]}/*" for kind in kinds)}
    if not taken.intersection(ranges):
        raise VisierError(406, "NotAcceptable", f"This answers {' or '.join(kinds)} only.")


def _cookies(request: Request) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
    return {name: value for name, _, value in pairs}


def _not_found(text: str) -> VisierError:
    return VisierError(404, "NotFound", text)


def _random_jwt() -> str:
    return ".".join(secrets.token_urlsafe(size) for size in (12, 48, 24))


def _without_empty(value: object) -> object:
    """The document without empty strings, lists and objects, at any depth. False and zero stay."""
    if isinstance(value, dict):
        kept = {name: _without_empty(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in ("", [], {})}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
