"""Adobe Experience Platform's export jobs and data access, as docs/vendors/adobe.md has them.

    POST   /ims/token/v3                                     a token for client id and secret
    GET    /data/core/ups/export/jobs                        newest first, in pages
    POST   /data/core/ups/export/jobs
    GET    /data/core/ups/export/jobs/{id}
    DELETE /data/core/ups/export/jobs/{id}                   marks a running job for cancelling, forgets an ended one
    GET    /data/foundation/catalog/batches/{batchId}
    GET    /data/foundation/export/batches/{batchId}/files   and /failed, /meta
    GET    /data/foundation/export/files/{dataSetFileId}     its parts, or with ?path= one of them; HEAD too

Client id, client secret and scope are `demo`, the organisation `demo@AdobeOrg`, the sandbox `prod`, unless knobs say
otherwise.
"""

import argparse
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

from infra.local.vendors.adobe.batches import Batch, Directory, Part, Shape, batch_ids, sha256, write
from infra.local.vendors.adobe.profiles import Segment, first_ingested
from infra.local.vendors.adobe.scenarios import SCENARIOS, AdobeKnobs
from infra.local.vendors.server import Reply, Request
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

_JOBS = "/data/core/ups/export/jobs"
_EXPORT = "/data/foundation/export"
_CATALOG = "/data/foundation/catalog"
_FIRST_ID = 11_037
_DAY = 86_400.0
_STATUSES = ("NEW", "SUCCEEDED", "FAILED")  # that the list can be asked for
_GATEWAY = {  # for errors that were ordered: those that Adobe's gateway makes, by status
    401: ("401013", "Oauth token is not valid"),
    403: ("403025", "Profile is not valid"),
    429: ("429050", "Too many requests"),
}
_WRITE_FAILED = [
    {
        "code": "0090000009",
        "msg": "Error writing profiles to output path 'adl://simulated.example.com/snapshot/722'",
        "callStack": "com.adobe.aep.unifiedprofile.common.logging.Logger",
    },
    {"code": "unknown", "msg": "Job aborted.", "callStack": "org.apache.spark.SparkException: Job aborted."},
]
_WRONG_DATASET = [
    {"code": "0100000003", "msg": "The dataset is not based on the profile union schema", "callStack": ""}
]


class AdobeError(Exception):
    """An error as Adobe answers it: by its gateway if it has a code, otherwise by the service."""

    def __init__(self, status: int, text: str, *, code: str = "", title: str = "") -> None:
        super().__init__(text)
        self.status, self.text, self.code, self.title = status, text, code, title

    def reply(self) -> Reply:
        if self.code:
            return json_reply(self.status, {"error_code": self.code, "message": self.text})
        title = self.title or {400: "BadRequestError", 403: "ForbiddenError", 404: "NotFoundError"}.get(
            self.status, "ServerError"
        )
        kind = f"http://ns.adobe.com/aep/errors/{title}"
        return json_reply(self.status, {"type": kind, "status": self.status, "title": title, "detail": self.text})


@dataclass
class Job:
    """`verdict` is what an admin decided: `complete`, `fail` or `freeze`; `status` an end, empty until there is one."""

    id: int
    sandbox: str
    request: dict[str, Any]
    submitted_at: float
    ready_at: float
    batch_ids: list[tuple[str, Segment | None]]
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    verdict: str = ""
    status: str = ""
    ended_at: float = 0
    cancelled_at: float | None = None
    errors: list[dict[str, str]] = field(default_factory=list)
    rows: int = 0


class Kept(NamedTuple):
    """A batch that a job has written, and from when on its files are listed."""

    batch: Batch
    job: Job
    listed_at: float


@dataclass(frozen=True)
class PartTruth:
    """What a part is, as served when nothing goes wrong. `segment_id` is None where the batch is of all segments."""

    name: str
    file_id: str
    batch_id: str
    segment_id: str | None
    size: int
    sha256: str
    rows: int


class AdobeSimulator(VendorSimulator[AdobeKnobs]):
    """Adobe Experience Platform for one organisation. Knobs: see `AdobeKnobs`."""

    SCENARIOS: ClassVar[Mapping[str, Scenario]] = SCENARIOS

    def __init__(self, *, port: int = 0, scenario: str = "success", **knobs: object) -> None:
        super().__init__(AdobeKnobs, port=port, scenario=scenario, given=knobs)
        self._forget()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        def option(name: str, kind: Callable[[str], object], text: str, knob: str | None = None) -> None:
            parser.add_argument(name, type=kind, dest=knob, metavar="N", help=text)

        option("--job-seconds", float, "how long a job takes (5)")
        option("--token-seconds", float, "how long a token lasts (86399)")
        option("--profiles", int, "how many profiles there are (1000)")
        option("--files", int, "how many files a batch has (2)", "files_per_batch")
        option("--parts", int, "how many parts a file has (2)", "parts_per_file")
        option("--scale", _mebibytes, "makes every part at least N MiB", "part_bytes")

    def _forget(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._batches: dict[str, Kept] = {}
        self._tokens: dict[str, float] = {}
        self._frozen = False
        self._ingested = first_ingested(self._knobs.profiles)
        self._next_id = _FIRST_ID

    # What a test says to it

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was submitted and not deleted, oldest first, as Adobe would show it."""
        with self._lock:
            self._settle()
            return [self._shown(job) for job in self._jobs.values()]

    def truth(self, job_id: int | str) -> list[PartTruth]:
        """What a download of each part of a job must come to."""
        with self._lock:
            self._settle()
            kept = [kept for kept in self._batches.values() if kept.job.id == int(job_id)]
        return [
            PartTruth(
                name=part.name,
                file_id=directory.id,
                batch_id=batch.id,
                segment_id=batch.segment.id if batch.segment else None,
                size=part.content.size,
                sha256=sha256(part.content),
                rows=part.rows,
            )
            for batch, _, _ in kept
            for file in batch.files
            for directory, part in file.everything()
        ]

    def complete_job(self, job_id: int | str) -> None:
        """End the job well, now."""
        self._decide(job_id, "complete")

    def fail_job(self, job_id: int | str) -> None:
        self._decide(job_id, "fail")

    def freeze_job(self, job_id: int | str) -> None:
        """Let it run for ever, or until it is told otherwise."""
        self._decide(job_id, "freeze")

    def freeze(self, *, frozen: bool = True) -> None:
        """Let no job finish by itself."""
        with self._lock:
            self._settle()
            self._frozen = frozen

    def ingest(self, profiles: int = 100) -> None:
        """Let so many further profiles come in, now."""
        with self._lock:
            self._settle()
            self._ingested += [datetime.fromtimestamp(self._clock.now(), UTC)] * profiles

    def drop_batch(self, batch_id: str) -> None:
        """Delete a batch with its files, as the owner of its dataset may."""
        with self._lock:
            self._settle()
            if self._batches.pop(batch_id, None) is None:
                raise AdminError(f"unknown batch {batch_id}; there are {', '.join(self._batches) or 'none'}")

    def invalidate_tokens(self) -> None:
        """Every token issued so far is refused from now on."""
        with self._lock:
            self._tokens.clear()

    def _decide(self, job_id: int | str, verdict: str) -> None:
        with self._lock:
            self._settle()
            job = self._jobs.get(int(job_id)) if str(job_id).isdecimal() else None
            if job is None:
                raise AdminError(f"unknown job {job_id}; there are {', '.join(map(str, self._jobs)) or 'none'}")
            if job.status:
                raise AdminError(f"job {job_id} has ended already")
            job.verdict = verdict
            self._settle()

    def _events(self) -> Mapping[str, Callable[[], object]]:
        return {"expire-tokens": self.invalidate_tokens, "ingest": self.ingest}

    def _admin_routes(self) -> Sequence[AdminRoute]:
        job = r"/jobs/(?P<job>\d+)"
        return [
            AdminRoute("GET", "/jobs", "every job", lambda _: self.jobs()),
            AdminRoute("GET", f"{job}/truth", "its parts", self._admin_truth),
            AdminRoute("POST", f"{job}/complete", "end it well", lambda told: self.complete_job(told.where["job"])),
            AdminRoute("POST", f"{job}/fail", "end it badly", lambda told: self.fail_job(told.where["job"])),
            AdminRoute("POST", f"{job}/freeze", "let it run for ever", lambda told: self.freeze_job(told.where["job"])),
            AdminRoute("POST", "/freeze", "{frozen}: let no job finish", self._admin_freeze),
            AdminRoute(
                "POST", "/ingest", "{profiles}: so many more", lambda told: self.ingest(int(told.number("profiles")))
            ),
            AdminRoute(
                "DELETE",
                "/batches/(?P<batch>[^/]+)",
                "delete its files",
                lambda told: self.drop_batch(told.where["batch"]),
            ),
            AdminRoute("POST", "/tokens/expire", "refuse all tokens so far", lambda _: self.invalidate_tokens()),
        ]

    def _admin_truth(self, told: Told) -> object:
        return [asdict(truth) for truth in self.truth(told.where["job"])]

    def _admin_freeze(self, told: Told) -> None:
        self.freeze(frozen=told.body.get("frozen") is not False)

    # Time

    def _settle(self) -> None:
        """Bring every job up to now."""
        now = self._clock.now()
        for job in self._jobs.values():
            if job.status:
                continue
            if job.cancelled_at is not None:
                if now >= job.cancelled_at + self._knobs.cancel_seconds:
                    job.status, job.ended_at = "CANCELLED", job.cancelled_at + self._knobs.cancel_seconds
                continue
            due = not self._frozen and now >= job.ready_at and job.verdict != "freeze"
            if not (due or job.verdict in ("complete", "fail")):
                continue
            ends = {"complete": "success", "fail": "failed"}.get(job.verdict, self._knobs.job_ends)
            if ends != "never":
                self._end(job, ends, now if job.verdict else job.ready_at)

    def _end(self, job: Job, ends: str, at: float) -> None:
        job.ended_at = at
        job.status = {"success": "SUCCEEDED", "unknown": "PAUSED"}.get(ends, "FAILED")
        if ends == "failed":
            job.errors = _WRITE_FAILED
        elif ends == "wrong-dataset":
            job.errors = _WRONG_DATASET
        elif ends == "success":
            knobs = self._knobs
            job.errors = _WRITE_FAILED[:1] if knobs.errors_on_success else []
            shape = Shape(knobs.files_per_batch, knobs.parts_per_file, knobs.part_bytes, knobs.nested, knobs.same_names)
            for batch in write(job.request, job.batch_ids, self._ingested, shape):
                job.rows += batch.rows
                self._batches[batch.id] = Kept(batch, job, at + knobs.files_after_seconds)

    def _status(self, job: Job) -> str:
        if job.status:
            return job.status
        if job.cancelled_at is not None:
            return "CANCELLING"
        waited, whole = self._clock.now() - job.submitted_at, job.ready_at - job.submitted_at
        return "NEW" if waited < whole / 10 else "QUEUED" if waited < whole / 4 else "PROCESSING"

    # Calls

    def _answer(self, request: Request) -> Reply:
        try:
            reply = self._routed(request)
        except AdobeError as error:
            reply = error.reply()
        # The time of day is the simulator's too: a client may compare it with what the documents say.
        return replace(reply, headers={"Date": formatdate(self._clock.now(), usegmt=True), **reply.headers})

    def _failure(self, status: int) -> Reply:
        code, text = _GATEWAY.get(status, ("", f"Error {status}"))
        return AdobeError(status, text, code=code).reply()

    def _meter(self, request: Request) -> Allowance:
        limits = {"Minute": (60.0, self._knobs.calls_per_minute), "Hour": (3600.0, self._knobs.calls_per_hour)}
        counted = self._counters.count(request.headers.get("x-api-key", ""), self._clock.now(), limits)
        return counted._replace(headers={})  # Adobe does not tell

    def _routed(self, request: Request) -> Reply:
        call = f"{request.method} {request.path.rstrip('/')}"
        if call == "POST /ims/token/v3":
            return self._issue(request)
        sandbox = self._check_caller(request)
        if call == f"POST {_JOBS}":
            return self._submit(request, sandbox)
        if found := re.fullmatch(rf"DELETE {_JOBS}/([^/]+)", call):
            return self._delete(self._known_job(found[1], sandbox))
        if found := re.fullmatch(rf"(?:GET|HEAD) {_EXPORT}/files/([^/]+)", call):
            return self._file(request, sandbox, found[1])
        return json_reply(200, self._document(call, request, sandbox))

    def _document(self, call: str, request: Request, sandbox: str) -> dict[str, Any]:
        if call == f"GET {_JOBS}":
            return self._list(request, sandbox)
        if found := re.fullmatch(rf"GET {_JOBS}/([^/]+)", call):
            return self._look_at(self._known_job(found[1], sandbox))
        if found := re.fullmatch(rf"GET {_CATALOG}/batches/([^/]+)", call):
            return self._catalog(found[1], sandbox)
        if found := re.fullmatch(rf"GET {_EXPORT}/batches/([^/]+)/(files|failed|meta)", call):
            return self._batch(request, sandbox, *found.groups())
        raise _not_found(f"There is no {call}.")

    # Who calls

    def _issue(self, request: Request) -> Reply:
        given = {**request.query, **request.form()}  # either is taken
        if given.get("grant_type") != "client_credentials":
            return json_reply(400, _ims("unsupported_grant_type", "Unsupported grant_type"))
        if not given.get("scope", "").strip():
            return json_reply(400, _ims("invalid_scope", "scope must be supplied"))
        if (given.get("client_id"), given.get("client_secret")) != (self._knobs.client_id, self._knobs.client_secret):
            return json_reply(401, _ims("invalid_client", "invalid client_id or client_secret parameter"))
        token = ".".join(secrets.token_urlsafe(size) for size in (12, 48, 24))
        with self._lock:
            self._tokens[token] = self._clock.now() + self._knobs.token_seconds
        lives = int(self._knobs.token_seconds)
        return json_reply(200, {"access_token": token, "token_type": "bearer", "expires_in": lives})

    def _check_caller(self, request: Request) -> str:
        """The sandbox that the caller, who may, looks into."""
        headers, knobs = request.headers, self._knobs
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if not token:
            raise AdobeError(403, "Access token is missing", code="403010")
        with self._lock:
            expires_at = self._tokens.get(token)
        if scheme.lower() != "bearer" or expires_at is None or self._clock.now() >= expires_at:
            raise AdobeError(401, "Oauth token is not valid", code="401013")
        if not headers.get("x-api-key"):
            raise AdobeError(403, "Api Key is required", code="403000")
        if headers["x-api-key"] != knobs.client_id:
            raise AdobeError(403, "Api Key is invalid", code="403003")
        if not headers.get("x-gw-ims-org-id"):
            raise AdobeError(400, "Missing required header: x-gw-ims-org-id", code="400003")
        if headers["x-gw-ims-org-id"] != knobs.org_id or not knobs.permitted:
            raise AdobeError(403, "Profile is not valid", code="403025")
        sandbox = "" if knobs.loses_sandbox_header else str(headers.get("x-sandbox-name", ""))
        if not sandbox:
            raise AdobeError(400, "Header x-sandbox-name is required.")
        if sandbox not in knobs.sandboxes:
            raise AdobeError(403, f"Sandbox {sandbox} does not exist or is not accessible.")
        return sandbox

    # Jobs

    def _submit(self, request: Request, sandbox: str) -> Reply:
        body = _checked(request.body)
        with self._lock:
            now = self._clock.now()
            job = Job(self._next_id, sandbox, body, now, now + self._knobs.job_seconds, batch_ids(body))
            self._next_id += 1
            self._jobs[job.id] = job
            shown = {**self._shown(job), "status": "NEW"}
        return replace(
            reply := json_reply(200, shown),
            headers={**reply.headers, "X-Location": f"{self._knobs.link_host}{_JOBS}/{job.id}"},
        )

    def _known_job(self, job_id: str, sandbox: str) -> Job:
        with self._lock:
            self._settle()
            job = self._jobs.get(int(job_id)) if job_id.isdecimal() else None
            vanished = job and job.status == "CANCELLED" and self._knobs.cancelled_jobs_vanish
            if job is None or job.sandbox != sandbox or vanished:
                raise _not_found(f"Export job {job_id} is not found.")
            return job

    def _look_at(self, job: Job) -> dict[str, Any]:
        with self._lock:
            return self._shown(job)

    def _delete(self, job: Job) -> Reply:
        with self._lock:
            if job.status:
                del self._jobs[job.id]
            elif job.cancelled_at is None:
                job.cancelled_at = self._clock.now()
        message = json_reply(200, {"status": True, "message": "Export job has been marked for cancelling"})
        match self._knobs.delete_replies:
            case "204-with-body":
                return replace(message, status=204)
            case "204":
                return Reply(204)
        return message

    def _list(self, request: Request, sandbox: str) -> dict[str, Any]:
        status, offset = request.query.get("status"), request.query.get("offset", "")
        if status and status not in _STATUSES:
            raise AdobeError(400, f"status must be one of {', '.join(_STATUSES)}.")
        with self._lock:
            self._settle()
            rows = [self._shown(job) for job in (*self._past(sandbox), *self._jobs.values()) if job.sandbox == sandbox]
        rows = sorted(rows, key=lambda row: (row["creationTime"], row["id"]), reverse=True)
        rows = [row for row in rows if status in (None, row["status"]) and (not offset or _place(row) < _place(offset))]
        page = rows[: min(_number(request.query.get("limit"), 0) or len(rows), self._knobs.jobs_per_page)]
        at = "_".join(map(str, _place(page[-1]))) if page else offset
        asked = f"&status={status}" if status else ""
        more = f"/export/jobs/?limit={len(page)}&offset={at}{asked}" if len(page) < len(rows) else ""
        return {
            "records": page,
            "page": {"sortField": "createdTime", "sort": "desc", "pageOffset": at, "pageSize": len(page)},
            "link": {"next": more},
        }

    def _past(self, sandbox: str) -> list[Job]:
        """Jobs of earlier days, one a day, that exported to another dataset."""
        request = {"destination": {"datasetId": "5cf6bcf79ecc7c14530fe436"}, "schema": {"name": "_xdm.context.profile"}}
        today = self._clock.now() // _DAY * _DAY
        starts = [today - day * _DAY for day in range(1, self._knobs.past_jobs + 1)]
        return [
            Job(
                100 + n, sandbox, request, at, at, [("da5cfb4de32c4b93a09f7e37fa53ad52", None)], "", "", "SUCCEEDED", at
            )
            for n, at in enumerate(starts)
        ]

    def _shown(self, job: Job) -> dict[str, Any]:
        """A job as its document."""
        request, knobs, status = job.request, self._knobs, self._status(job)
        ended, began = job.ended_at if job.status else None, _millis(job.submitted_at)
        time = {"startTimeInMs": began}
        if ended is not None:
            time |= {"endTimeInMs": _millis(ended), "totalTimeInMs": _millis(ended) - began}
        document = {
            "id": job.id,
            "jobType": "BATCH",
            "destination": self._destination(job),
            "fields": request.get("fields", ""),
            "schema": request["schema"],
            "imsOrgId": knobs.org_id,
            "status": status,
            "filter": _with_defaults(request.get("filter") or {}),
            "mergePolicy": request.get("mergePolicy") or {"id": "timestampOrdered-none-mp", "version": 1},
            "profileInstanceId": "ups",
            "metrics": {"totalTime": time},
            "computeGatewayJobId": {"exportJob": "" if status in ("NEW", "QUEUED") else job.request_id},
            "creationTime": began,
            "updateTime": _millis(ended if ended is not None else job.cancelled_at or job.submitted_at),
            "requestId": job.request_id,
        }
        document |= {name: request[name] for name in ("additionalFields", "evaluationInfo") if name in request}
        if job.errors:
            document["errors"] = job.errors
        if status == "SUCCEEDED":
            self._count(job, document)
        return document

    def _destination(self, job: Job) -> dict[str, Any]:
        given, knobs = job.request["destination"], self._knobs
        per_segment = bool(given.get("segmentPerBatch", False))
        spelt = "dataSetId" if knobs.misspelt_dataset_id else "datasetId"
        destination = {spelt: given["datasetId"], "segmentPerBatch": per_segment}
        batches = [
            {
                "segmentId": segment.id,
                "segmentNs": segment.namespace,
                "status": ",".join(segment.status) if knobs.segment_status_as_text else list(segment.status),
                "batchId": batch_id,
            }
            for batch_id, segment in job.batch_ids
            if segment
        ]
        if not batches:
            return {**destination, "batchId": job.batch_ids[0][0]}
        if knobs.batches_as == "array":
            return {**destination, "batches": batches}
        whole = batches[0] if len(batches) == 1 else {batch["segmentId"]: batch for batch in batches}
        return {**destination, "batches": whole}

    def _count(self, job: Job, document: dict[str, Any]) -> None:
        rows = job.rows + (self._knobs.counter == "wrong")
        metrics = document["metrics"]
        metrics["profileExportTime"] = metrics["totalTime"]
        metrics["exportedProfileByNamespaceCounter"] = {"ECID": rows}
        if self._knobs.counter == "none":
            return
        where = document if self._knobs.counter == "flat" else metrics
        where["totalExportedProfileCounter"] = rows

    # Batches and files

    def _catalog(self, batch_id: str, sandbox: str) -> dict[str, Any]:
        with self._lock:
            self._settle()
            job = next((job for job in self._jobs.values() if batch_id in dict(job.batch_ids)), None)
            kept = self._batches.get(batch_id)
        job = kept.job if kept else job
        if job is None or job.sandbox != sandbox or (job.status == "SUCCEEDED" and not kept):
            raise _not_found(f"Batch {batch_id} is not found.")
        status = {"FAILED": "failure", "CANCELLED": "aborted"}.get(job.status, "loading")
        if kept and self._clock.now() >= kept.listed_at:
            status = "success"
        dataset = {"type": "dataSet", "id": job.request["destination"]["datasetId"]}
        about = {"imsOrg": self._knobs.org_id, "created": _millis(job.submitted_at), "relatedObjects": [dataset]}
        return {batch_id: {"status": status, **about}}

    def _batch(self, request: Request, sandbox: str, batch_id: str, what: str) -> dict[str, Any]:
        with self._lock:
            self._settle()
            kept = self._batches.get(batch_id)
            coming = any(
                batch_id in dict(job.batch_ids) and job.sandbox == sandbox and job.status != "SUCCEEDED"
                for job in self._jobs.values()
            )
        if (kept is None and not coming) or (kept and kept.job.sandbox != sandbox):
            raise _not_found(f"Batch {batch_id} is not found.")
        listed = kept.batch.files if kept and self._clock.now() >= kept.listed_at else ()
        if what == "files":
            return self._paged(request, [self._directory_entry(file) for file in listed])
        names = ("row_errors", "input_files", "row_errors_sample.json") if what == "meta" and listed else ()
        return self._paged(request, [{"name": name, "length": "0"} for name in names])

    def _file(self, request: Request, sandbox: str, file_id: str) -> Reply:
        with self._lock:
            self._settle()
            now = self._clock.now()
            files = [
                f
                for k in self._batches.values()
                if k.job.sandbox == sandbox and now >= k.listed_at
                for f in k.batch.files
            ]
        directory = next((inner for file in files for inner in file.below() if inner.id == file_id), None)
        if directory is None:
            raise _not_found(f"File {file_id} is not found.")
        if "path" not in request.query:
            entries = [self._part_entry(directory, part) for part in directory.parts]
            entries += [self._directory_entry(inner) for inner in directory.directories]
            return json_reply(200, self._paged(request, entries))
        part = next((part for part in directory.parts if part.name == request.query["path"]), None)
        if part is None:
            raise _not_found(f"File {file_id} has no such path.")
        reply = Reply(200, {"Content-Type": "application/parquet"}, part.content)
        etag = f'"{file_id}-{part.name}"' if self._knobs.etags else None
        return ranged(request, reply, etag=etag, longest=self._knobs.longest_range) if self._knobs.ranges else reply

    def _directory_entry(self, directory: Directory) -> dict[str, Any]:
        return {
            "dataSetFileId": directory.id,
            "dataSetViewId": "5cc6a9b60d4a5914b7940a7f",
            "version": "1.0.0",
            "created": "1558522305708",
            "updated": "1558522305708",
            "isValid": False,
            "_links": {"self": {"href": f"{self._knobs.link_host}{_EXPORT}/files/{directory.id}"}},
        }

    def _part_entry(self, directory: Directory, part: Part) -> dict[str, Any]:
        href = f"{self._knobs.link_host}{_EXPORT}/files/{directory.id}?path={quote(part.name, safe='')}"
        return {"name": part.name, "length": str(part.content.size), "_links": {"self": {"href": href}}}

    def _paged(self, request: Request, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        start = _number(request.query.get("start"), 0)
        limit = min(_number(request.query.get("limit"), 100), self._knobs.files_per_page)
        page = entries[start : start + limit]
        document: dict[str, Any] = {"data": page, "_page": {"limit": limit, "count": len(page)}}
        if start + limit < len(entries):
            here = f"{self._knobs.link_host}{request.path}"
            document["_links"] = {"next": {"href": f"{here}?start={start + limit}&limit={limit}"}}
        return document


def _checked(body: bytes) -> dict[str, Any]:
    """The request, unless Adobe would refuse it."""
    try:
        request = json.loads(body)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise AdobeError(400, "The body is not a JSON object.")
    for part, name in (("destination", "datasetId"), ("schema", "name")):
        if not isinstance(request.get(part), dict) or not request[part].get(name):
            raise AdobeError(400, f"{part}.{name} is required.")
    wanted = request.get("filter") or {}
    segments = wanted.get("segments") or []
    if not all(isinstance(segment, dict) and segment.get("segmentId") for segment in segments):
        raise AdobeError(400, "filter.segments.segmentId is required.")
    if len(segments) > 1 and not request.get("mergePolicy"):
        raise AdobeError(400, "mergePolicy is required for multiple segments.")
    qualified = wanted.get("segmentQualificationTime") or {}
    for text in (wanted.get("fromIngestTimestamp"), *qualified.values()):
        if text is not None and not _is_rfc3339(text):
            raise AdobeError(400, f"{text} is not an RFC-3339 timestamp.")
    return request


def _is_rfc3339(text: object) -> bool:
    try:
        return datetime.fromisoformat(str(text)).tzinfo is not None
    except ValueError:
        return False


def _with_defaults(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as Adobe shows it: with the defaults of its segments."""
    if not wanted.get("segments"):
        return dict(wanted)
    segments = [Segment.of(given) for given in wanted["segments"]]
    shown = [{"segmentId": s.id, "segmentNs": s.namespace, "status": list(s.status)} for s in segments]
    return {**wanted, "segments": shown}


def _place(row: Mapping[str, Any] | str) -> tuple[int, int]:
    """Where a job, or an offset, is in the list."""
    if isinstance(row, str):
        created, _, job_id = row.partition("_")
        if not (created.isdecimal() and job_id.isdecimal()):
            raise AdobeError(400, "offset is not valid.")
        return int(created), int(job_id)
    return row["creationTime"], row["id"]


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def _millis(seconds: float) -> int:
    return int(seconds * 1000)


def _mebibytes(text: str) -> int:
    return int(float(text) * 1024 * 1024)


def _ims(error: str, text: str) -> dict[str, str]:
    return {"error": error, "error_description": text}


def _not_found(text: str) -> AdobeError:
    return AdobeError(404, text)
