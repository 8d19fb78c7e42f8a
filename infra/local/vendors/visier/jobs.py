"""Visier's data and job handling, as docs/vendors/visier.md has it: jobs that dispatch, extract, receive and process.

    POST /v1/op/data/startload                              POST /v1/op/data/startExtractAndLoad
    POST /v1alpha/op/jobs/processing-jobs                   POST /v1alpha/op/jobs/extraction-jobs
    GET  /v1/op/jobs/dispatching-jobs/{id}                  and its /extraction-jobs, /receiving-jobs, /processing-jobs
    GET  /v1/op/jobs/receiving-jobs/{id}                    GET  /v1/op/jobs/processing-jobs/{receivingJobId}
    GET  /v1/op/job-status/jobs                             GET  /v1/op/job-status/jobs/{id}
    POST /v1/op/jobs/cancel                                 POST /v1/op/jobs/receiving-jobs
    POST /v1/op/data-transfer-sessions                      PUT  .../{id}/upload, .../{id}/cancel

`WFF_j1r` administrates the tenants of the knob `analytic_tenants`; what becomes of each is in the knob `fates`.
"""

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from infra.local.vendors.forms import FormError, multipart
from infra.local.vendors.server import Bytes, Reply, Request
from infra.local.vendors.simulator import AdminError, AdminRoute, Clock, Knobs, Scenario, Told, json_reply

ADMINISTRATING = "WFF_j1r"
_STAGES = (
    "Initialize",
    "Retrieve Main Subject",
    "Retrieve Secondary Subjects",
    "Retrieve Custom Subjects",
    "Process Records",
    "Publish Artifacts",
    "Publish Records",
)
_SHARES = {"dispatching": 0.1, "extraction": 0.5, "receiving": 0.1, "processing": 0.3}
"""How much of a job's time each kind takes; a job that leads to no others takes all of it."""
_JOB_TYPES = {
    "dispatching": "DISPATCHING_JOB",
    "extraction": "EXTRACTION_JOB",
    "receiving": "UPLOAD_JOB",
    "processing": "PROCESSING_JOB",
}
_IDS = {"extraction": "extractionJobId", "receiving": "receivingJobId", "processing": "jobId"}
_ENDED = frozenset({"Succeeded", "Completed", "Failed", "Error", "RolledBack", "Cancelled", "Rescheduled"})
_CANCELLED_AT_ONCE = 500
_PAGE = 1000
_REASON = "The file WFF_j1r_hcm_files_20181030102030.zip.gpg is not on the SFTP server."

type Fate = Literal[
    "succeeds",
    "completes",
    "extraction-fails",
    "extraction-errs",
    "rolled-back",
    "receiving-fails",
    "processing-fails",
    "runs",
    "rescheduled",
    "unknown-word",
    "not-processed",
]


class JobKnobs(Knobs):
    """How the simulated jobs behave."""

    job_seconds: float = Field(5, ge=0)  # with all that a job leads to
    analytic_tenants: tuple[str, ...] = ("WFF_j1r~c7o", "WFF_j1r~e1a", "WFF_j1r~k2p")
    fates: Mapping[str, Fate] = {}
    own_tenant_dispatched: bool = True  # extract-and-load of the caller's own tenant has a dispatching job too
    status_has_children: bool = True  # the status of any job shows those below it
    dispatching_ends: Literal["Succeeded", "Failed"] = "Succeeded"
    children_late_seconds: float = Field(0, ge=0)  # until a job is in its parent's list
    jobs_late_seconds: float = Field(0, ge=0)  # until a job that was started is anywhere
    cancel_seconds: float = Field(0, ge=0)  # that a job is Cancelling
    refuses_loads: Literal["", "text", "message", "status"] = ""
    job_id_field: Literal["jobId", "JobId"] = "jobId"
    tenant_field: Literal["tenantCode", "tenant"] = "tenantCode"
    page_limit: int = Field(_PAGE, ge=1)  # whatever a caller asks for
    partial_content: bool = False  # 206 for every page but the last
    upload_limit_bytes: int = 3 * 10**9


JOB_SCENARIOS: Mapping[str, Scenario] = {
    "load": Scenario("a load succeeds in every tenant"),
    "load-partial": Scenario(
        "of a load's tenants one succeeds, one fails with [DP510002], one goes on for ever",
        {"fates": {"WFF_j1r~e1a": "processing-fails", "WFF_j1r~k2p": "runs"}},
    ),
    "load-one-fails": Scenario(
        "one tenant of a load fails: [DP510002]", {"fates": {"WFF_j1r~e1a": "processing-fails"}}
    ),
    "load-fails": Scenario(
        "every tenant of a load fails, each otherwise",
        {
            "fates": {
                "WFF_j1r~c7o": "extraction-fails",
                "WFF_j1r~e1a": "receiving-fails",
                "WFF_j1r~k2p": "processing-fails",
                "WFF_j1r": "processing-fails",
            }
        },
    ),
    "load-rolled-back": Scenario(
        "extractions end as Error and RolledBack",
        {"fates": {"WFF_j1r~c7o": "extraction-errs", "WFF_j1r~e1a": "rolled-back"}},
    ),
    "load-rescheduled": Scenario(
        "an extraction is rescheduled, and runs under another id", {"fates": {"WFF_j1r~e1a": "rescheduled"}}
    ),
    "load-unknown-word": Scenario("an extraction is Paused", {"fates": {"WFF_j1r~e1a": "unknown-word"}}),
    "load-not-processed": Scenario(
        "a tenant's processing job never appears", {"fates": {"WFF_j1r~e1a": "not-processed"}}
    ),
    "load-refused": Scenario("loads are refused: 200, and a reason in plain text", {"refuses_loads": "text"}),
    "load-refused-message": Scenario("loads are refused: 200, and a reason as message", {"refuses_loads": "message"}),
    "load-refused-status": Scenario("loads are refused: 400", {"refuses_loads": "status"}),
    "load-completed": Scenario(
        "jobs end as Completed", {"fates": {"WFF_j1r~c7o": "completes", "WFF_j1r~e1a": "completes"}}
    ),
    "children-late": Scenario("jobs that follow are listed 30 s late", {"children_late_seconds": 30}),
    "jobs-late": Scenario("a job that was started is listed 30 s late", {"jobs_late_seconds": 30}),
    "dispatch-fails": Scenario("the dispatching job fails, and makes no others", {"dispatching_ends": "Failed"}),
    "slow-cancel": Scenario("a cancelled job is Cancelling for 10 s", {"cancel_seconds": 10}),
    "short-pages": Scenario("lists come in pages of 2, whatever is asked for", {"page_limit": 2}),
    "partial-content": Scenario("the same, with 206", {"page_limit": 2, "partial_content": True}),
    "other-spelling": Scenario(
        "JobId for jobId, tenant for tenantCode", {"job_id_field": "JobId", "tenant_field": "tenant"}
    ),
}


class RefusedError(Exception):
    """An error as Visier answers it."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass
class LoadJob:
    """A job; `leads_to` is what follows when it ends well, in each of `tenants` where it dispatches."""

    id: str
    kind: str
    tenant: str
    began_at: float
    ends_at: float
    status: str = "Running"
    parent: str = ""
    root: str = ""
    tenants: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()
    data_version: str = ""
    message: str = ""
    cancelling_until: float | None = None
    again: bool = False

    @property
    def ended(self) -> bool:
        return self.status in _ENDED

    def stage(self, now: float) -> str:
        share = (now - self.began_at) / max(self.ends_at - self.began_at, 1e-9)
        return _STAGES[min(max(int(share * len(_STAGES)), 0), len(_STAGES) - 1)]


@dataclass
class Transfer:
    """A transfer session and the files that it got."""

    id: str
    status: str = "OPEN"
    files: list["Uploaded"] = field(default_factory=list)


@dataclass(frozen=True)
class Uploaded:
    """A file that was uploaded, byte for byte."""

    name: str
    data: bytes
    source_id: str = ""
    tenant: str = ""

    def told(self) -> dict[str, object]:
        return {
            "name": self.name,
            "size": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "sourceId": self.source_id,
            "tenantCode": self.tenant,
        }


@dataclass(frozen=True)
class Host:
    """What the jobs need of the simulator that they are part of.

    `publish` lists a new data version, which can be exported from then on.
    """

    knobs: Callable[[], JobKnobs]
    clock: Callable[[], Clock]
    frozen: Callable[[], bool]
    publish: Callable[[], int]


class JobHandling:
    """The jobs of every tenant, and the files that were sent for them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        """Start afresh."""
        self._jobs: dict[str, LoadJob] = {}
        self._transfers: dict[str, Transfer] = {}
        self.bodies: list[tuple[str, str, Any]] = []
        """Each start and cancel: path, content type, and the document that came."""

    # What a test asks

    def jobs(self) -> list[dict[str, object]]:
        with self._lock:
            self._settle()
            return [asdict(job) for job in self._jobs.values()]

    def uploads(self) -> list[Uploaded]:
        return [file for transfer in self._transfers.values() for file in transfer.files]

    def transfers(self) -> list[str]:
        """How each transfer session stands, oldest first."""
        return [transfer.status for transfer in self._transfers.values()]

    def admin_routes(self) -> Sequence[AdminRoute]:
        return [
            AdminRoute("GET", "/load-jobs", "every job that loads data", lambda _: self.jobs()),
            AdminRoute("GET", "/uploads", "every file that was uploaded", lambda _: [f.told() for f in self.uploads()]),
            AdminRoute("GET", r"/uploads/(?P<n>\d+)", "the text of one of them", self._admin_text),
        ]

    def _admin_text(self, told: Told) -> dict[str, str]:
        files, n = self.uploads(), int(told.where["n"])
        if n >= len(files):
            raise AdminError(f"there are {len(files)} uploads")
        return {"name": files[n].name, "text": files[n].data.decode("utf-8", "replace")}

    # Calls

    def answer(self, request: Request, acting: str) -> Reply | None:
        """Answer one of the calls above for the tenant that is acted for; None is a call of somebody else's."""
        call = f"{request.method} {request.path}"
        routes: dict[str, Callable[..., Reply]] = {
            r"POST /v1/op/data/startload": self._start_load,
            r"POST /v1/op/data/startExtractAndLoad": self._extract_and_load,
            r"POST /v1alpha/op/jobs/processing-jobs": self._process,
            r"POST /v1alpha/op/jobs/extraction-jobs": self._extract,
            r"GET /v1/op/jobs/dispatching-jobs/([^/]+)": self._look_at_dispatching,
            r"GET /v1/op/jobs/dispatching-jobs/([^/]+)/(extraction|receiving|processing)-jobs": self._list_dispatched,
            r"GET /v1/op/jobs/receiving-jobs/([^/]+)": self._look_at_receiving,
            r"GET /v1/op/jobs/processing-jobs/([^/]+)": self._list_processing,
            r"GET /v1/op/job-status/jobs": self._list_all,
            r"GET /v1/op/job-status/jobs/([^/]+)": self._look_at_any,
            r"POST /v1/op/jobs/cancel": self._cancel,
            r"POST /v1/op/data-transfer-sessions": self._begin_transfer,
            r"PUT /v1/op/data-transfer-sessions/([^/]+)/upload": self._upload,
            r"PUT /v1/op/data-transfer-sessions/([^/]+)/cancel": self._cancel_transfer,
            r"POST /v1/op/jobs/receiving-jobs": self._receive,
        }
        for pattern, act in routes.items():
            if found := re.fullmatch(pattern, call):
                with self._lock:
                    self._settle()
                    return act(request, acting or ADMINISTRATING, *found.groups())
        return None

    # Starting

    def _start_load(self, request: Request, acting: str) -> Reply:
        model = self._model(request)
        files = model.get("files")
        if not isinstance(files, list) or not files:
            raise RefusedError(400, "InvalidRequest", "files is required.")
        if wrong := [name for name in files if not str(name).endswith(".zip.gpg")]:
            raise RefusedError(400, "InvalidFile", f"The file {wrong[0]} is not a .zip.gpg file.")
        if refusal := self._refusal():
            return refusal
        leads_to = ("receiving",) if model.get("skipDataLoad") is True else ("receiving", "processing")
        return self._started(self._receiving_parent(acting, leads_to))

    def _extract_and_load(self, request: Request, acting: str) -> Reply:
        return self._extraction(request, acting, takes_in=True)

    def _extract(self, request: Request, acting: str) -> Reply:
        return self._extraction(request, acting, takes_in=False)

    def _extraction(self, request: Request, acting: str, *, takes_in: bool) -> Reply:
        model = self._model(request)
        tenants = self._tenants(model, acting)
        for name in ("overrideLastExtractionTimestamp", "extractToTimeOverride"):
            if not re.fullmatch(r"\d*", str(model.get(name, ""))):
                raise RefusedError(400, "InvalidRequest", f"{name} is no time in milliseconds.")
        if refusal := self._refusal():
            return refusal
        leads_to = ["extraction"]
        if model.get("outputTarget") != "SQL" and (takes_in or model.get("runProcessingJob") is True):
            leads_to.append("receiving")
        if model.get("runProcessingJob") is True:
            leads_to.append("processing")
        if tenants is None and not (takes_in and self._host.knobs().own_tenant_dispatched):
            return self._started(self._add("extraction", acting, leads_to=tuple(leads_to[1:])))
        return self._started(self._add("dispatching", acting, tenants=tenants or (acting,), leads_to=tuple(leads_to)))

    def _process(self, request: Request, acting: str) -> Reply:
        tenants = self._tenants(self._model(request), acting)
        if refusal := self._refusal():
            return refusal
        if tenants is None:
            return self._started(self._add("processing", acting))
        return self._started(self._add("dispatching", acting, tenants=tenants, leads_to=("processing",)))

    def _receiving_parent(self, acting: str, leads_to: tuple[str, ...], tenant: str = "") -> LoadJob:
        administrates = acting == ADMINISTRATING and not tenant
        tenants = self._host.knobs().analytic_tenants if administrates else (tenant or acting,)
        return self._add("receiving", acting, tenants=tenants, leads_to=leads_to)

    def _tenants(self, model: Mapping[str, Any], acting: str) -> tuple[str, ...] | None:
        known = self._host.knobs().analytic_tenants
        named, everyone, left_out = model.get("tenants"), model.get("allTenants"), model.get("excludedTenants") or []
        if (named or everyone) and acting != ADMINISTRATING:
            raise RefusedError(400, "InvalidRequest", "Only an administrating tenant starts jobs of others.")
        if left_out and not everyone:
            raise RefusedError(400, "InvalidRequest", "excludedTenants is only valid if allTenants is true.")
        if named and everyone:
            raise RefusedError(400, "InvalidRequest", "tenants and allTenants exclude each other.")
        if named:
            if strange := [tenant for tenant in named if tenant not in known]:
                raise RefusedError(400, "UnknownTenant", f"There is no tenant {strange[0]} that you have access to.")
            return tuple(named)
        return tuple(tenant for tenant in known if tenant not in left_out) if everyone else None

    def _refusal(self) -> Reply | None:
        match self._host.knobs().refuses_loads:
            case "text":
                return Reply(200, {"Content-Type": "text/plain; charset=utf-8"}, Bytes(_REASON.encode()))
            case "message":
                return json_reply(200, {"jobId": "", "message": _REASON})
            case "status":
                raise RefusedError(400, "LoadNotPossible", _REASON)
            case _:
                return None

    def _started(self, job: LoadJob) -> Reply:
        return json_reply(200, {self._host.knobs().job_id_field: job.id})

    def _model(self, request: Request) -> dict[str, Any]:
        """The document, as a form's `model`, as JSON's `model`, or bare."""
        kind = request.headers.get_content_type()
        text = request.body.decode("utf-8", "replace")
        if kind == "application/x-www-form-urlencoded" and "model" in request.form():
            text = request.form()["model"]
        try:
            document = json.loads(text or "{}")
        except ValueError:
            raise RefusedError(400, "InvalidRequest", "The body is not JSON.") from None
        if isinstance(document, dict) and isinstance(document.get("model"), dict):
            document = document["model"]
        if not isinstance(document, dict):
            raise RefusedError(400, "InvalidRequest", "The body is not a JSON object.")
        self.bodies.append((request.path, kind, document))
        return document

    # Time

    def _add(self, kind: str, tenant: str, *, at: float | None = None, **more: Any) -> LoadJob:
        began = self._host.clock().now() if at is None else at
        has_family = bool(more.get("leads_to") or more.get("parent"))
        seconds = self._host.knobs().job_seconds * (_SHARES[kind] if has_family else 1)
        job = LoadJob(str(uuid.uuid4()), kind, tenant, began, began + seconds, **more)
        job.root = job.root or job.id
        self._jobs[job.id] = job
        return job

    def _settle(self) -> None:
        """Bring every job up to now; one that ends makes those that follow, which may have ended too."""
        now, done = self._host.clock().now(), 0
        while done < len(self._jobs):
            job = list(self._jobs.values())[done]
            done += 1
            if job.cancelling_until is not None:
                job.status = "Cancelling" if now < job.cancelling_until else "Cancelled"
            elif not job.ended and not self._host.frozen() and now >= job.ends_at:
                self._end(job)

    def _end(self, job: LoadJob) -> None:
        fate = self._host.knobs().fates.get(job.tenant, "succeeds")
        dispatches = job.kind == "dispatching" or (job.kind == "receiving" and bool(job.tenants))
        if dispatches:
            job.status = self._host.knobs().dispatching_ends if job.kind == "dispatching" else "Succeeded"
        else:
            self._meet(job, fate)
        if job.status in ("Succeeded", "Completed"):
            self._follow(job, fate, dispatches=dispatches)

    def _meet(self, job: LoadJob, fate: Fate) -> None:
        """End one tenant's job as is the tenant's fate."""
        job.status = "Completed" if fate == "completes" else "Succeeded"
        match fate, job.kind:
            case "extraction-fails", "extraction":
                job.status = "Failed"
            case "extraction-errs", "extraction":
                job.status = "Error"
            case "rolled-back", "extraction":
                job.status = "RolledBack"
            case "receiving-fails", "receiving":
                job.status = "Failed"
            case "processing-fails", "processing":
                job.status = "Failed"
                job.message = (
                    "[DP510002] Unexpected exception in data load process in the event stream loader stage. "
                    "Please contact Visier Support."
                )
            case "runs", "extraction" | "processing":
                job.status = "Running"
            case "unknown-word", "extraction" | "processing":
                job.status = "Paused"
            case "rescheduled", "extraction" if not job.again:
                job.status = "Rescheduled"
                again = self._add(
                    "extraction",
                    job.tenant,
                    at=job.ends_at,
                    parent=job.parent,
                    root=job.root,
                    leads_to=job.leads_to,
                    again=True,
                )
                again.ends_at = job.ends_at + (job.ends_at - job.began_at)
        if job.kind == "processing" and job.status in ("Succeeded", "Completed"):
            job.data_version = str(self._host.publish())

    def _follow(self, job: LoadJob, fate: Fate, *, dispatches: bool) -> None:
        if not job.leads_to:
            return
        kind, *rest = job.leads_to
        if kind == "processing" and fate == "not-processed" and not dispatches:
            return
        for tenant in job.tenants if dispatches else (job.tenant,):
            # In the lists a child is below the job that was started; a receiving job's are below itself.
            parent = job.id if dispatches else self._jobs[job.root].id
            self._add(kind, tenant, at=job.ends_at, parent=parent, root=job.root, leads_to=tuple(rest))

    # Watching

    def _known(self, job_id: str, acting: str, *kinds: str) -> LoadJob:
        job = self._jobs.get(job_id)
        late = self._host.knobs().jobs_late_seconds
        visible = job and (acting in (ADMINISTRATING, job.tenant)) and self._host.clock().now() >= job.began_at + late
        if not visible or job is None or (kinds and job.kind not in kinds):
            raise RefusedError(404, "NotFound", f"There is no job {job_id}.")
        return job

    def _below(self, parent: LoadJob, kind: str, request: Request) -> tuple[list[LoadJob], bool]:
        """One page of a job's children, and whether there are more."""
        now, late = self._host.clock().now(), self._host.knobs().children_late_seconds
        wanted = request.query.get("tenantCode")
        there = [
            job
            for job in self._jobs.values()
            if job.parent == parent.id
            and job.kind == kind
            and now >= job.began_at + late
            and wanted in (None, job.tenant)
        ]
        start, limit = self._window(request)
        return there[start : start + limit], len(there) > start + limit

    def _window(self, request: Request) -> tuple[int, int]:
        numbers = {name: request.query.get(name, default) for name, default in (("start", "0"), ("limit", str(_PAGE)))}
        if wrong := [name for name, text in numbers.items() if not text.isdecimal()]:
            raise RefusedError(400, "InvalidRequest", f"{wrong[0]} is not a number.")
        return int(numbers["start"]), min(int(numbers["limit"]), self._host.knobs().page_limit, _PAGE)

    def _page(self, document: dict[str, object], *, more: bool) -> Reply:
        return json_reply(206 if more and self._host.knobs().partial_content else 200, document)

    def _child(self, job: LoadJob) -> dict[str, object]:
        shown: dict[str, object] = {
            _IDS[job.kind]: job.id,
            self._host.knobs().tenant_field: job.tenant,
            "status": job.status,
        }
        if job.kind == "processing":
            shown |= {"dataVersion": job.data_version, "message": job.message}
        if job.kind == "extraction" and not job.ended:
            shown["currentStage"] = job.stage(self._host.clock().now())
        return shown

    def _look_at_dispatching(self, _request: Request, acting: str, job_id: str) -> Reply:
        job = self._known(job_id, acting, "dispatching")
        return json_reply(
            200,
            {
                "jobId": job.id,
                "tenantCode": job.tenant,
                "status": job.status,
                "totalJobsDispatched": len(job.tenants) if job.status == "Succeeded" else 0,
            },
        )

    def _list_dispatched(self, request: Request, acting: str, job_id: str, kind: str) -> Reply:
        job = self._known(job_id, acting, "dispatching")
        return self._children_page(request, job, kind)

    def _children_page(self, request: Request, job: LoadJob, kind: str) -> Reply:
        children, more = self._below(job, kind, request)
        start, limit = self._window(request)
        document: dict[str, object] = {
            "parentJobId": job.id,
            "parentTenantCode": job.tenant,
            "limit": limit,
            "start": start,
            f"{kind}Jobs": [self._child(child) for child in children],
        }
        return self._page(document, more=more)

    def _look_at_receiving(self, request: Request, acting: str, job_id: str) -> Reply:
        job = self._known(job_id, acting, "receiving")
        document: dict[str, object] = {
            "jobId": job.id,
            "status": job.status,
            "parentJobId": job.parent,
            "parentTenantCode": self._jobs[job.parent].tenant if job.parent else "",
        }
        if request.query.get("jobs", "").lower() != "true":
            return json_reply(200, document)
        children, more = self._below(job, "receiving", request)
        return self._page(document | {"receivingJobs": [self._child(child) for child in children]}, more=more)

    def _list_processing(self, request: Request, acting: str, job_id: str) -> Reply:
        return self._children_page(request, self._known(job_id, acting, "receiving"), "processing")

    def _list_all(self, request: Request, acting: str) -> Reply:
        since, until = (_moment(request.query.get(name, "")) for name in ("startTime", "endTime"))
        late, now = self._host.knobs().jobs_late_seconds, self._host.clock().now()
        there = [
            job
            for job in self._jobs.values()
            if (since is None or job.began_at >= since)
            and (until is None or job.began_at <= until)
            and request.query.get("status", job.status) == job.status
            and acting in (ADMINISTRATING, job.tenant)
            and now >= job.began_at + late
        ]
        document = {
            "queryStartTime": request.query.get("startTime", ""),
            "queryEndTime": request.query.get("endTime", ""),
            "jobStatus": [self._in_list(job) for job in there],
        }
        return json_reply(200, document)

    def _look_at_any(self, _request: Request, acting: str, job_id: str) -> Reply:
        job = self._known(job_id, acting)
        shows = self._host.knobs().status_has_children
        below = [child for child in self._jobs.values() if shows and child.parent == job.id]
        return json_reply(200, [self._in_list(one) for one in (job, *below)])

    def _in_list(self, job: LoadJob) -> dict[str, object]:
        return {
            "jobId": job.id,
            "tenant": job.tenant,
            "status": job.status,
            "jobType": _JOB_TYPES[job.kind],
            "startTime": _iso(job.began_at),
            "parentJobId": job.parent,
        }

    # Cancelling

    def _cancel(self, request: Request, acting: str) -> Reply:
        ids = self._model(request).get("jobIds")
        if not isinstance(ids, list) or len(ids) > _CANCELLED_AT_ONCE:
            raise RefusedError(400, "InvalidRequest", f"jobIds is a list of at most {_CANCELLED_AT_ONCE} job ids.")
        return json_reply(200, {"jobCancellationResults": [self._cancelled(str(job_id), acting) for job_id in ids]})

    def _cancelled(self, job_id: str, acting: str) -> dict[str, object]:
        job = self._jobs.get(job_id)
        if job is None or acting not in (ADMINISTRATING, job.tenant):
            return {"jobId": job_id, "jobType": "UNRECOGNIZED", "message": f"The job {job_id} is not recognized."}
        told: dict[str, object] = {"tenantCode": job.tenant, "jobId": job.id, "jobType": _JOB_TYPES[job.kind]}
        told |= {"parentJobId": job.parent} if job.parent else {}
        if job.ended:
            return told | {"jobStatus": job.status, "message": "The job is finished and can't be cancelled."}
        if job.kind == "receiving":
            message = "A running receiving job can't be cancelled."
            return told | {"cancelStatus": "CANCEL_FAILED", "jobStatus": job.status, "message": message}
        job.cancelling_until = self._host.clock().now() + self._host.knobs().cancel_seconds
        self._settle()
        return told | {"cancelStatus": "CANCEL_SUCCEEDED", "jobStatus": job.status}

    # Files

    def _begin_transfer(self, _request: Request, _acting: str) -> Reply:
        transfer = Transfer(str(uuid.uuid4()))
        self._transfers[transfer.id] = transfer
        return json_reply(200, {"transferSessionId": transfer.id})

    def _open(self, transfer_id: str) -> Transfer:
        transfer = self._transfers.get(transfer_id)
        if transfer is None or transfer.status != "OPEN":
            raise RefusedError(404, "NotFound", f"There is no open transfer session {transfer_id}.")
        return transfer

    def _upload(self, request: Request, _acting: str, transfer_id: str) -> Reply:
        transfer = self._open(transfer_id)
        if len(request.body) > self._host.knobs().upload_limit_bytes:
            raise RefusedError(400, "FileTooLarge", "The file is larger than the limit.")
        try:
            file = multipart(request).files["file"]
        except (FormError, KeyError):
            raise RefusedError(400, "InvalidRequest", "The file is missing: multipart/form-data, file.") from None
        query = request.query
        transfer.files.append(Uploaded(file.name, file.data, query.get("sourceId", ""), query.get("tenantCode", "")))
        refused = self._host.knobs().refuses_loads == "message"
        document: dict[str, object] = {
            "transferSessionId": transfer.id,
            "sequence": int(query.get("sequence", "1")),
            "status": "FAILED" if refused else "SUCCEED",
            "message": "No source matches the file's name." if refused else "",
            "tenants": [],
        }
        return json_reply(200, document)

    def _cancel_transfer(self, _request: Request, _acting: str, transfer_id: str) -> Reply:
        transfer = self._open(transfer_id)
        transfer.status = "CANCELLED"
        return json_reply(200, {"transferSessionId": transfer.id, "status": "CANCELLED", "message": ""})

    def _receive(self, request: Request, acting: str) -> Reply:
        model = self._model(request)
        transfer = self._open(str(model.get("transferSessionId", "")))
        if not transfer.files:
            raise RefusedError(400, "NothingTransferred", "The transfer session has no data.")
        if refusal := self._refusal():
            return refusal
        transfer.status = "SUCCEED"
        leads_to = ("receiving", "processing") if model.get("processingData") is True else ("receiving",)
        job = self._receiving_parent(acting, leads_to, transfer.files[0].tenant)
        document = {"dataReceivingJobId": job.id, "transferSessionId": transfer.id, "status": "SUCCEED", "message": ""}
        return json_reply(200, document)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        return int(text) / 1000 if text.isdecimal() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise RefusedError(400, "InvalidRequest", f"{text} is no time.") from None


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
