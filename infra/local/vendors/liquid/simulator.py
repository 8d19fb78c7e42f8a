"""The batch API of LiquidAnalytics' Liquid Decisions, as docs/vendors/liquid.md has it: forms in, JSON out.

    POST /ls/api/oauth2/token                     a token for user, password and client; scope names the community
    POST /ls/api/oauth2/setCommunity              for a token whose scope did not
    GET  /ls/api/oauth2/validate                  200 for a good token
    POST /ls/api/oauth2/tokenInfo                 whose token, and for which community
    POST /ls/api/batch/export                     a job
    POST /ls/api/batch/import                     likewise, multipart
    POST /ls/api/batch/status                     where it stands
    POST /ls/api/batch/cancel                     Canceling, and Canceled a little later
    GET  /ls/api/batch/download/{jobId}/{n}       a file, by a link that holds a token of its own

Community, user, password, client and its secret are `demo`, unless knobs say otherwise.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from infra.local.vendors.forms import FilePart, Form, FormError, multipart
from infra.local.vendors.liquid.exports import ExportFile, RejectedError, Wanted, exported, is_json, sha256
from infra.local.vendors.liquid.items import FIELDS, KEY, Item, attendees
from infra.local.vendors.liquid.scenarios import SCENARIOS, LiquidKnobs
from infra.local.vendors.server import Reply, Request
from infra.local.vendors.simulator import AdminError, AdminRoute, Allowance, Scenario, Told, VendorSimulator, json_reply

_DEMO = "demo"
_WINDOWS = {"calls_per_minute": 60.0, "calls_per_hour": 3600.0}
_READY = "The file has been stored and the job is ready for processing"
_ERRORS = {  # for errors that were ordered
    400: ("invalid_request", "The request is malformed"),
    401: ("invalid_token", "The access token is invalid or has expired"),
    403: ("access_denied", "The user has no access"),
    404: ("not_found", "There is no such resource"),
    429: ("slow_down", "There are too many requests"),
}
_FAILED = ("server_error", "An unexpected error occurred")
_TERMINAL = ("Completed", "Rejected", "Failed", "Canceled")


class LiquidError(Exception):
    """An error as LiquidAnalytics answers it."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


@dataclass
class Job:
    """`verdict` is what an admin decided: `complete`, `fail` or `freeze`. Times are the simulator's, in seconds."""

    id: str
    kind: Literal["export", "import"]
    name: str
    item_type: str
    content_type: str
    email: str
    submitted_at: float
    ready_at: float
    total: int = 0
    files: Sequence[ExportFile] = ()
    tokens: Sequence[str] = ()  # of the links
    items: Sequence[Item] = ()  # that an import brings
    merge: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    file: Mapping[str, object] = field(default_factory=dict)  # what an import brought, as it came
    verdict: str = ""
    status: str = "Initialized"
    reason: str = ""
    records: int = 0
    ended_at: float | None = None
    cancelled_at: float | None = None
    expired: bool = False

    @property
    def ended(self) -> bool:
        return self.status in _TERMINAL


@dataclass(frozen=True)
class FileTruth:
    """What a file is, as served when nothing goes wrong. `number` is its place among the links, from 1."""

    name: str
    number: int
    size: int
    sha256: str
    rows: int


@dataclass
class _Token:
    expires_at: float
    community: str | None


class LiquidSimulator(VendorSimulator[LiquidKnobs]):
    """LiquidAnalytics with one demo community. Knobs: see `LiquidKnobs`."""

    SCENARIOS: ClassVar[Mapping[str, Scenario]] = SCENARIOS

    def __init__(self, *, port: int = 0, scenario: str = "success", **knobs: object) -> None:
        super().__init__(LiquidKnobs, port=port, scenario=scenario, given=knobs)
        self._forget()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        def option(name: str, kind: Callable[[str], object], text: str, knob: str | None = None) -> None:
            parser.add_argument(name, type=kind, dest=knob, metavar="N", help=text)

        option("--job-seconds", float, "how long a job takes (5)")
        option("--token-seconds", float, "how long a token lasts (3600)")
        option("--attendees", int, "how many attendees there are (1200)")
        option("--files", int, "into how many files an export is put (1)")
        option("--scale", _mebibytes, "every file is generated, and has N MiB", "big_file_bytes")

    def _forget(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._mails: list[dict[str, Any]] = []
        self._tokens: dict[str, _Token] = {}
        self._imported: dict[str, dict[str, Item]] = {item_type: {} for item_type in FIELDS}
        self._frozen = False

    # What a test says to it

    def jobs(self) -> list[dict[str, Any]]:
        """Every job, oldest first."""
        with self._lock:
            self._settle()
            return [_described(job) for job in self._jobs.values()]

    def mails(self) -> list[dict[str, Any]]:
        """What was sent to notification addresses, oldest first."""
        with self._lock:
            self._settle()
            return list(self._mails)

    def items(self, item_type: str) -> list[Item]:
        """What the community has of a type, imports included."""
        with self._lock:
            self._settle()
            self._known(self._imported, item_type, "item type")
            return self._items()[item_type]

    def truth(self, job_id: str) -> dict[str, FileTruth]:
        """What a download of each file must come to, by the name it is told under."""
        with self._lock:
            job = self._known(self._jobs, job_id, "job")
        return {
            _file_name(job, number): FileTruth(
                _file_name(job, number), number, file.content.size, sha256(file.content), file.rows
            )
            for number, file in enumerate(job.files, 1)
        }

    def expire_links(self, job_id: str) -> None:
        """As though the week had gone."""
        with self._lock:
            self._known(self._jobs, job_id, "job").expired = True

    def complete_job(self, job_id: str) -> None:
        """End the job well, now."""
        self._decide(job_id, "complete")

    def fail_job(self, job_id: str) -> None:
        self._decide(job_id, "fail")

    def freeze_job(self, job_id: str) -> None:
        """Let it run for ever, or until it is told otherwise."""
        self._decide(job_id, "freeze")

    def freeze(self, *, frozen: bool = True) -> None:
        """Let no job finish by itself."""
        with self._lock:
            self._settle()
            self._frozen = frozen

    def invalidate_tokens(self) -> None:
        """Every token issued so far is refused from now on."""
        with self._lock:
            self._tokens.clear()

    def _decide(self, job_id: str, verdict: str) -> None:
        with self._lock:
            self._settle()
            job = self._known(self._jobs, job_id, "job")
            if job.ended:
                raise AdminError(f"job {job_id} has ended already")
            job.verdict = verdict
            self._settle()

    def _known[K, T](self, things: Mapping[K, T], key: K, what: str) -> T:
        if key not in things:
            raise AdminError(f"unknown {what} {key}; there are {', '.join(map(str, things)) or 'none'}")
        return things[key]

    def _events(self) -> Mapping[str, Callable[[], object]]:
        return {"expire-tokens": self.invalidate_tokens}

    def _admin_routes(self) -> Sequence[AdminRoute]:
        job = r"/jobs/(?P<job>[^/]+)"
        return [
            AdminRoute("GET", "/jobs", "every job", lambda _: self.jobs()),
            AdminRoute("POST", f"{job}/complete", "end it well", lambda told: self.complete_job(told.where["job"])),
            AdminRoute("POST", f"{job}/fail", "end it badly", lambda told: self.fail_job(told.where["job"])),
            AdminRoute("POST", f"{job}/freeze", "let it run for ever", lambda told: self.freeze_job(told.where["job"])),
            AdminRoute("GET", f"{job}/truth", "its files", lambda told: self._admin_truth(told.where["job"])),
            AdminRoute("POST", f"{job}/expire", "as after a week", lambda told: self.expire_links(told.where["job"])),
            AdminRoute("POST", "/freeze", "{frozen}: let no job finish", self._admin_freeze),
            AdminRoute("GET", "/mails", "every mail, links and all", lambda _: self.mails()),
            AdminRoute("GET", "/items/(?P<type>[^/]+)", "the items", lambda told: self.items(told.where["type"])),
            AdminRoute("POST", "/tokens/expire", "refuse all tokens so far", lambda _: self.invalidate_tokens()),
        ]

    def _admin_freeze(self, told: Told) -> None:
        self.freeze(frozen=told.body.get("frozen") is not False)

    def _admin_truth(self, job_id: str) -> dict[str, object]:
        return {name: asdict(truth) for name, truth in self.truth(job_id).items()}

    # Time

    def _settle(self) -> None:
        """Bring every job up to now."""
        now = self._clock.now()
        for job in self._jobs.values():
            if not job.ended:
                self._move(job, now)

    def _move(self, job: Job, now: float) -> None:
        if job.cancelled_at is not None:
            job.status, job.reason = "Canceling", "The job is being canceled"
            if now >= job.cancelled_at + self._knobs.canceling_seconds:
                self._end(job, "Canceled", "The job was canceled", now)
            return
        due = not self._frozen and now >= job.ready_at and job.verdict != "freeze"
        ends = {"complete": "success", "fail": "failed"}.get(job.verdict, self._knobs.job_ends)
        if (due and ends != "never") or job.verdict in ("complete", "fail"):
            self._finish(job, ends, now if job.verdict else job.ready_at)
            return
        lasts = job.ready_at - job.submitted_at
        share = min((now - job.submitted_at) / lasts, 0.99) if lasts else 0.99
        if share < 0.1 or (ends == "rejected" and not due):
            return  # as it was submitted
        job.status, job.reason = ("Accepted", _READY) if share < 0.25 else (self._knobs.status_word or "Processing", "")
        job.records = int(job.total * max(share - 0.25, 0) / 0.75)

    def _finish(self, job: Job, ends: str, at: float) -> None:
        if ends == "rejected":
            self._end(job, "Rejected", f"The item type {job.item_type} is locked by its owner", at)
        elif ends == "failed":
            job.records = job.total // 2
            self._end(job, "Failed", f"The {job.kind} stopped: the index of {job.item_type} is being rebuilt", at)
        else:
            job.records = job.total + self._knobs.miscounts
            job.tokens = [secrets.token_urlsafe(16) for _ in self._linked(job)]
            self._take_in(job)
            self._end(job, "Completed", "", at)

    def _end(self, job: Job, status: str, reason: str, at: float) -> None:
        job.status, job.reason, job.ended_at = status, reason, at
        if job.email and status in ("Completed", "Failed"):
            mail = {"to": job.email, "jobId": job.id, "subject": f"{job.name}: {status}", "links": self._links(job)}
            self._mails.append(mail)

    def _take_in(self, job: Job) -> None:
        """What an import brings becomes items: merged into what is there, or in its place."""
        known = self._imported[job.item_type]
        held = {str(item[KEY]): item for item in self._items()[job.item_type]} if job.merge else {}
        for item in job.items:
            key = str(item.get(KEY) or uuid.uuid4())
            known[key] = {**held.get(key, {}), **item, KEY: key}

    def _items(self) -> dict[str, list[Item]]:
        """Every item by its type: those that were always there, and what imports made of them."""
        first: dict[str, dict[str, Item]] = {item_type: {} for item_type in FIELDS}
        first["Attendee"] = {str(item[KEY]): item for item in attendees(self._knobs.attendees)}
        return {item_type: [*({**first[item_type], **self._imported[item_type]}).values()] for item_type in FIELDS}

    # Calls

    def _answer(self, request: Request) -> Reply:
        try:
            return self._routed(request)
        except LiquidError as error:
            return json_reply(error.status, {"error": error.error, "error_description": error.description})

    def _routed(self, request: Request) -> Reply:
        call = f"{request.method} {request.path.rstrip('/')}"
        if call == "POST /ls/api/oauth2/token":
            return self._log_in(request.form())
        if found := re.fullmatch(r"(?:GET|HEAD) /ls/api/batch/download/([^/]+)/(\d+)", call):
            return self._download(found[1], int(found[2]), request.query.get("token", ""))
        known: Mapping[str, Callable[[Request, _Token], object]] = {
            "POST /ls/api/oauth2/setCommunity": self._set_community,
            "GET /ls/api/oauth2/validate": lambda _, __: {"valid": True},
            "POST /ls/api/oauth2/tokenInfo": self._token_info,
            "POST /ls/api/batch/export": self._in_community(self._export),
            "POST /ls/api/batch/import": self._in_community(self._import),
            "POST /ls/api/batch/status": self._in_community(self._look_at_job),
            "POST /ls/api/batch/cancel": self._in_community(self._cancel),
        }
        if call not in known:
            raise LiquidError(404, "not_found", f"There is no {call}")
        return json_reply(200, known[call](request, self._caller(request)))

    def _failure(self, status: int) -> Reply:
        error, description = _ERRORS.get(status, _FAILED)
        return json_reply(status, {"error": error, "error_description": description})

    def _meter(self, request: Request) -> Allowance:
        """Count calls by token, where a limit was set; the vendor tells nobody what is left."""
        limits = {
            name: (seconds, limit)
            for name, seconds in _WINDOWS.items()
            if (limit := getattr(self._knobs, name)) and "/batch/download/" not in request.path
        }
        key = str(request.headers.get("Authorization", ""))
        return Allowance({}, self._counters.count(key, self._clock.now(), limits).exceeded)

    # Who calls

    def _log_in(self, form: Mapping[str, str]) -> Reply:
        client = (form.get("client_id"), form.get("client_secret"))
        if client != (_DEMO, self._knobs.client_secret) and not (self._knobs.public_client and client == (None, None)):
            raise LiquidError(401, "invalid_client", "The client is not known or its secret is wrong")
        if form.get("grant_type") == "authorization_code":
            raise LiquidError(400, "invalid_grant", "The code is not valid")
        if form.get("grant_type") != "password":
            raise LiquidError(400, "unsupported_grant_type", "The grant type is not supported")
        if (form.get("username"), form.get("password")) != (_DEMO, self._knobs.password):
            raise LiquidError(400, "invalid_grant", "Bad credentials")
        token = secrets.token_urlsafe(32)
        with self._lock:
            lasts = self._knobs.token_seconds
            self._tokens[token] = _Token(self._clock.now() + lasts, _community(form.get("scope", "")))
        expiry = {"expires_in": int(lasts)} if self._knobs.tells_expiry else {}
        return json_reply(200, {"access_token": token, "token_type": "bearer", **expiry})

    def _caller(self, request: Request) -> _Token:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        with self._lock:
            known = self._tokens.get(token) if scheme.lower() == "bearer" else None
        if known is None or self._clock.now() >= known.expires_at:
            raise LiquidError(401, *_ERRORS[401])
        return known

    def _set_community(self, request: Request, token: _Token) -> object:
        token.community = _community(f"community={request.form().get('community', '')}")
        return self._token_info(request, token)

    def _token_info(self, _: Request, token: _Token) -> object:
        return {"userId": _DEMO, "authenticatedUserId": _DEMO, "community": token.community}

    def _in_community(self, act: Callable[[Request], object]) -> Callable[[Request, _Token], object]:
        def checked(request: Request, token: _Token) -> object:
            if token.community is None:
                raise LiquidError(400, "invalid_request", "No community is set: name one in the scope")
            return act(request)

        return checked

    # Jobs

    def _export(self, request: Request) -> object:
        form = {name: "" if value == "None" else value for name, value in request.form().items()}
        wanted = Wanted(
            item_type=form.get("itemType", ""),
            content_type=form.get("contentType", ""),
            row_header=form.get("rowHeader", "").lower() == "true",
            template=form.get("template", ""),
            filters=form.get("filters", ""),
            sql_query=form.get("sqlQuery", ""),
        )
        job = self._job("export", form)
        try:
            _require(form, "jobName", "itemType", "contentType")
            is_json(wanted.content_type)
            job.files = exported(
                wanted, self._items(), files=self._knobs.files, big_file_bytes=self._knobs.big_file_bytes
            )
        except RejectedError as error:
            job.status, job.reason = "Rejected", str(error)
        job.total = sum(file.rows for file in job.files)
        return self._submitted(job)

    def _import(self, request: Request) -> object:
        try:
            form = multipart(request)
        except FormError as error:
            raise LiquidError(400, "invalid_request", str(error)) from None
        job = self._job("import", form.fields)
        job.file = _received(form)
        try:
            _require(form.fields, "jobName", "itemType", "contentType")
            job.merge = _boolean(form.fields, "merge")
            job.items = _read_items(form)
            job.parameters = {**job.parameters, "template": form.text("template")}
            job.status, job.reason = "Accepted", _READY
        except RejectedError as error:
            job.status, job.reason = "Rejected", str(error)
        job.total = len(job.items)
        return self._submitted(job)

    def _job(self, kind: Literal["export", "import"], form: Mapping[str, str]) -> Job:
        now = self._clock.now()
        return Job(
            id=str(uuid.uuid4()),
            kind=kind,
            name=form.get("jobName", ""),
            item_type=form.get("itemType", ""),
            content_type=form.get("contentType", ""),
            email=form.get("notificationEmail", ""),
            submitted_at=now,
            ready_at=now + self._knobs.job_seconds,
            parameters=dict(form),
        )

    def _submitted(self, job: Job) -> object:
        with self._lock:
            self._jobs[job.id] = job
            return self._document(job)

    def _look_at_job(self, request: Request) -> object:
        with self._lock:
            return self._document(self._asked(request))

    def _cancel(self, request: Request) -> object:
        with self._lock:
            job = self._asked(request)
            if not job.ended and job.cancelled_at is None:
                job.cancelled_at = self._clock.now()
                self._move(job, job.cancelled_at)
            return self._document(job)

    def _asked(self, request: Request) -> Job:
        self._settle()
        job = self._jobs.get(request.form().get("jobId", ""))
        if job is None:
            raise LiquidError(self._knobs.unknown_job, "not_found", "There is no job of that id")
        return job

    def _document(self, job: Job) -> dict[str, object]:
        began = job.submitted_at + (job.ready_at - job.submitted_at) * 0.25
        runs = max((job.ended_at or self._clock.now()) - began, 0) if job.status != "Initialized" else 0
        numbers = {"recordsProcessed": job.records, "runTime": int(runs * 1000)}
        told: dict[str, object] = {}
        if self._knobs.numbers != "missing":
            told = {name: str(n) if self._knobs.numbers == "strings" else n for name, n in numbers.items()}
        document = {
            "submitTime": datetime.fromtimestamp(job.submitted_at, UTC).strftime("%Y-%m-%dT%H:%M:%S%z"),
            "jobId": job.id,
            **({"notificationEmail": job.email} if job.email else {}),
            "jobName": job.name,
            "contentType": job.content_type,
            "itemType": job.item_type,
            **told,
            "status": job.status,
            "reason": job.reason,
        }
        return {**document, **self._told_links(job)}

    # Files

    def _linked(self, job: Job) -> Sequence[ExportFile]:
        """The files that there are links to."""
        return job.files if job.total or self._knobs.links_when_empty else ()

    def _links(self, job: Job) -> list[str]:
        base = self._knobs.links_from or self.url
        return [
            f"{base}/ls/api/batch/download/{job.id}/{number}?token={token}"
            for number, token in enumerate(job.tokens, 1)
        ]

    def _told_links(self, job: Job) -> dict[str, object]:
        links = self._links(job) if job.status == "Completed" else []
        match self._knobs.links_as:
            case _ if not links:
                return {}
            case "mail":
                return {"reason": "The export is complete, its links have been sent"}
            case "reason":
                return {"reason": f"The export is complete (see {' and '.join(links)})."}
            case "href" | "url" as name:
                return {"links": [{"rel": "file", name: link} for link in links]}
            case name:
                return {name: links}

    def _download(self, job_id: str, number: int, token: str) -> Reply:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or not 1 <= number <= len(job.tokens):
                raise LiquidError(404, "not_found", "There is no such file")
            if not secrets.compare_digest(token.encode(), job.tokens[number - 1].encode()):
                raise LiquidError(403, "access_denied", "The link is not valid")
            ended_at = job.ended_at or 0.0
            if job.expired or self._clock.now() >= ended_at + self._knobs.link_seconds:
                raise LiquidError(self._knobs.gone, "gone", "The link has expired")
        headers: dict[str, str | None] = {"Content-Type": f"{job.content_type}; charset=utf-8"}
        if self._knobs.file_names:
            headers["Content-Disposition"] = f'attachment; filename="{_file_name(job, number)}"'
        return Reply(200, headers, job.files[number - 1].content, self._knobs.framing)


def _described(job: Job) -> dict[str, Any]:
    """The job without the bytes it made or brought."""
    kept = {name: value for name, value in vars(job).items() if name not in ("files", "items", "tokens")}
    return {**kept, "files": len(job.files), "items": len(job.items)}


def _file_name(job: Job, number: int) -> str:
    suffix = "json" if "json" in job.content_type.lower() else "csv"
    return re.sub(r'[\r\n"\\/]', "_", f"{job.name}-{number}.{suffix}")


def _community(scope: str) -> str | None:
    """The community that a scope such as `community=demo deviceId=d1` names."""
    pairs = (part.partition("=") for part in scope.split())
    named = {name: value for name, equals, value in pairs if equals}.get("community")
    if named not in (None, _DEMO):
        raise LiquidError(400, "invalid_scope", f"The user has no access to community {named!r}")
    return named


def _require(form: Mapping[str, str], *names: str) -> None:
    for name in names:
        if not form.get(name):
            raise RejectedError(f"The parameter {name} is required")


def _boolean(form: Mapping[str, str], name: str) -> bool:
    text = form.get(name, "").lower()
    if text not in ("", "none", "true", "false"):
        raise RejectedError(f"The parameter {name} must be True or False")
    return text == "true"


def _read_items(form: Form) -> list[Item]:
    """The items of an import's file.

    Raises:
        RejectedError: there is no file, or it is not what it should be.
    """
    item_type = form.fields["itemType"]
    if item_type not in FIELDS:
        raise RejectedError(f"The item type {item_type!r} is not known; there are {', '.join(FIELDS)}")
    if "file" not in form.files:
        raise RejectedError("The file is missing")
    file = form.files["file"]
    items = _json_items(file) if is_json(form.fields["contentType"]) else _csv_items(file, form, FIELDS[item_type])
    for item in items:
        if unknown := sorted(set(item) - set(FIELDS[item_type])):
            raise RejectedError(f"The field {unknown[0]!r} is no field of {item_type}")
    return items


def _received(form: Form) -> Mapping[str, object]:
    """How the file came, for those who ask whether it came right."""
    if "file" not in form.files:
        return {}
    file = form.files["file"]
    return {
        "name": file.name,
        "bytes": len(file.data),
        "sha256": hashlib.sha256(file.data).hexdigest(),
        "headers": dict(file.headers.items()),
    }


def _json_items(file: FilePart) -> list[Item]:
    try:
        items = json.loads(file.data)
    except ValueError:
        raise RejectedError(f"The file {file.name} is not JSON") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RejectedError(f"The file {file.name} is not a JSON array of items")
    return [item["data"] if isinstance(item.get("data"), dict) else item for item in items]


def _csv_items(file: FilePart, form: Form, fields: Sequence[str]) -> list[Item]:
    try:
        rows = [row for row in csv.reader(io.StringIO(file.data.decode(), newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RejectedError(f"The file {file.name} is not CSV: {error}") from None
    if _boolean(form.fields, "headerRow"):
        fields, rows = (rows[0], rows[1:]) if rows else (fields, rows)
    for number, row in enumerate(rows, 1):
        if len(row) > len(fields):
            raise RejectedError(
                f"Row {number} of {file.name} has {len(row)} fields where there should be {len(fields)}"
            )
    return [dict(zip(fields, row, strict=False)) for row in rows]


def _mebibytes(text: str) -> int:
    return int(float(text) * 1024 * 1024)
