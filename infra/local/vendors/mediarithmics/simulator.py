"""The mediarithmics API as far as query exports need it, as docs/vendors/mediarithmics.md has it.

    POST /v1/authentication/access_tokens                              a temporary token for e-mail and password
    GET  /v1/connected_user
    GET  /v1/exports?organisation_id=            POST the same         the definitions; a new one
    GET  /v1/exports/{export}                    PUT, DELETE the same
    GET  /v1/exports/{export}/executions         POST the same         the executions; a new one
    GET  /v1/exports/{export}/executions/{execution}/files/technical_name={name}
    GET  /v1/data_file/data?uri=mics://data_file/tenants/{org}/jobs/executions/{execution}/result/{name}.data
    POST /v1/datamarts/{datamart}/queries
    GET  /v1/datamarts/{datamart}/queries/{query}      PUT the same
    POST /v1/datamarts/{datamart}/query_check/otql

API token, e-mail and password are `demo`, the organisation is 1426 and its datamart 1509. Every id is a string.
"""

import argparse
import base64
import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import unquote

from infra.local.vendors.mediarithmics.scenarios import SCENARIOS, MediarithmicsKnobs
from infra.local.vendors.mediarithmics.user_points import content, fault
from infra.local.vendors.server import Bytes, Content, Reply, Request
from infra.local.vendors.simulator import AdminError, AdminRoute, Allowance, Scenario, Told, VendorSimulator, json_reply

_DEMO = "demo"
_EXPORTS_SHOWN, _EXECUTIONS_SHOWN = 50, 10
_LANGUAGES = ("OTQL", "JSON_OTQL", "SELECTORQL")
_ENDED = {"SUCCEEDED", "SUCCESS", "FAILED", "LOST", "CANCELED"}
_GOOD = {"SUCCEEDED", "SUCCESS"}
_DATA_FILE = re.compile(r"mics://data_file/tenants/(\d+)/jobs/executions/(\d+)/result/(\w+)\.(data|error)")
_WORDS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Resource Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class MediarithmicsError(Exception):
    """An error as mediarithmics answers it."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status, self.text = status, text or _WORDS.get(status, f"Error {status}")


@dataclass
class Query:
    id: str
    datamart_id: str
    query_language: str
    query_text: str


@dataclass
class Export:
    id: str
    organisation_id: str
    name: str
    query_id: str
    datamart_id: str
    output_format: str
    type: str = "QUERY"


@dataclass
class Execution:
    """`verdict` is how an admin ends it, or `never`; `status` is its last word once it has ended."""

    id: str
    export_id: str
    organisation_id: str
    query_text: str  # what the query said when the execution began
    output_format: str
    created_at: float
    ready_at: float
    ours: bool
    ends: str
    knobs: MediarithmicsKnobs
    verdict: str = ""
    status: str = ""
    ended_at: float = 0


@dataclass(frozen=True)
class FileTruth:
    """What a file is, as served when nothing goes wrong."""

    name: str
    size: int
    sha256: str
    rows: int


class MediarithmicsSimulator(VendorSimulator[MediarithmicsKnobs]):
    """mediarithmics for one demo user. Knobs: see `MediarithmicsKnobs`."""

    SCENARIOS: ClassVar[Mapping[str, Scenario]] = SCENARIOS

    def __init__(self, *, port: int = 0, scenario: str = "success", **knobs: object) -> None:
        super().__init__(MediarithmicsKnobs, port=port, scenario=scenario, given=knobs)
        self._forget()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        def option(name: str, kind: Callable[[str], object], text: str, knob: str | None = None) -> None:
            parser.add_argument(name, type=kind, dest=knob, metavar="N", help=text)

        option("--job-seconds", float, "how long an execution takes (5)")
        option("--token-seconds", float, "how long a temporary token lasts (3600)")
        option("--rows", int, "how many user points an export has (3322)")
        option("--scale", _mebibytes, "every file has N MiB, in place of --rows", "big_file_bytes")

    def _forget(self) -> None:
        self._tokens: dict[str, float] = {}
        self._queries: dict[str, Query] = {}
        self._exports: dict[str, Export] = {}
        self._executions: dict[str, Execution] = {}
        self._numbers = {"query": 98797, "export": 9879, "execution": 7897896}
        for export, query, name, text in (
            ("9872", "45987", "export-visiteurs", "SELECT { id creation_ts } FROM UserPoint"),
            (
                "9879",
                "65987",
                "2018-08-29 - Export test segments for Facebook and Adwords",
                'SELECT { emails { id } } FROM UserPoint WHERE segments { id = "51023" }',
            ),
        ):
            self._queries[query] = Query(query, "1509", "OTQL", text)
            self._exports[export] = Export(export, "1426", name, query, "1509", "JSON")

    # What a test says to it

    def queries(self) -> list[dict[str, object]]:
        """Every query, oldest first."""
        return [asdict(query) for query in self._queries.values()]

    def exports(self) -> list[dict[str, object]]:
        """Every export that is not archived, oldest first."""
        return [asdict(export) for export in self._exports.values()]

    def executions(self, *, ours: bool = True) -> list[dict[str, Any]]:
        """Every execution started over the API, oldest first, as the API shows it; or those that others started."""
        with self._lock:
            self._settle()
            return [self._shown(execution) for execution in self._executions.values() if execution.ours is ours]

    def truth(self, execution_id: str) -> dict[str, FileTruth]:
        """What a download of each file must come to, by its technical name."""
        with self._lock:
            execution = self._known(self._executions, execution_id, "execution")
        served = {name: _content(execution) for name in execution.knobs.output_files}
        return {name: FileTruth(name, body.size, _sha256(body), rows) for name, (body, rows) in served.items()}

    def execute(self, export_id: str) -> str:
        """Start an execution as somebody else would in the console.

        Returns:
            Its id.
        """
        with self._lock:
            return self._start(self._known(self._exports, export_id, "export"), ours=False).id

    def end(self, execution_id: str, status: str = "SUCCEEDED") -> None:
        """End an execution now, or let it run for ever: `never`."""
        if status not in {*_ENDED, "never"}:
            raise AdminError(f"no execution ends {status}; there are {', '.join(sorted(_ENDED))} and never")
        with self._lock:
            self._settle()
            execution = self._known(self._executions, execution_id, "execution")
            if execution.status:
                raise AdminError(f"execution {execution_id} has ended already")
            execution.verdict = status
            self._settle()

    def edit_query(self, query_id: str, text: str) -> None:
        """Let somebody change a query behind its exports' backs."""
        with self._lock:
            self._known(self._queries, query_id, "query").query_text = text

    def invalidate_tokens(self) -> None:
        """Every temporary token issued so far is refused from now on."""
        with self._lock:
            self._tokens.clear()

    def _known[T](self, things: Mapping[str, T], key: str, what: str) -> T:
        if key not in things:
            raise AdminError(f"unknown {what} {key}; there are {', '.join(things) or 'none'}")
        return things[key]

    def _events(self) -> Mapping[str, Callable[[], object]]:
        return {"expire-tokens": self.invalidate_tokens}

    def _admin_routes(self) -> Sequence[AdminRoute]:
        one = r"/executions/(?P<execution>[^/]+)"
        return [
            AdminRoute("GET", "/queries", "every query", lambda _: self.queries()),
            AdminRoute("GET", "/exports", "every export", lambda _: self.exports()),
            AdminRoute("GET", "/executions", "every execution started over the API", lambda _: self.executions()),
            AdminRoute("POST", "/executions", "{export_id}: start one as somebody else", self._admin_start),
            AdminRoute(
                "POST",
                f"{one}/end",
                "{status}: end it now; never: let it run for ever",
                lambda told: self.end(told.where["execution"], told.text("status", "SUCCEEDED")),
            ),
            AdminRoute("GET", f"{one}/truth", "its files", self._admin_truth),
            AdminRoute(
                "POST",
                r"/queries/(?P<query>[^/]+)",
                "{query_text}: change a query",
                lambda told: self.edit_query(told.where["query"], told.text("query_text")),
            ),
            AdminRoute(
                "POST", "/tokens/expire", "refuse all temporary tokens so far", lambda _: self.invalidate_tokens()
            ),
        ]

    def _admin_start(self, told: Told) -> dict[str, str]:
        return {"id": self.execute(told.text("export_id"))}

    def _admin_truth(self, told: Told) -> dict[str, object]:
        return {name: asdict(truth) for name, truth in self.truth(told.where["execution"]).items()}

    # Calls

    def _answer(self, request: Request) -> Reply:
        try:
            return self._routed(request)
        except MediarithmicsError as error:
            return self._error(error)

    def _failure(self, status: int) -> Reply:
        return self._error(MediarithmicsError(status))

    def _error(self, error: MediarithmicsError) -> Reply:
        return json_reply(error.status, {"status": "error", "error": error.text, "error_id": str(uuid.uuid4())})

    def _meter(self, request: Request) -> Allowance:
        limits = {"Minute": (60.0, self._knobs.calls_per_minute), "Hour": (3600.0, self._knobs.calls_per_hour)}
        counted = self._counters.count(str(request.headers.get("Authorization", "")), self._clock.now(), limits)
        return counted._replace(headers={})  # nobody is told how many calls are left

    def _routed(self, request: Request) -> Reply:
        call = f"{request.method} {unquote(request.path)}"
        if call == "POST /v1/authentication/access_tokens":
            return self._log_in(request)
        self._check_caller(request)
        for pattern, act in self._calls_known().items():
            if found := re.fullmatch(pattern, call):
                with self._lock:
                    self._settle()
                    return act(request, *found.groups())
        raise MediarithmicsError(404)

    def _calls_known(self) -> Mapping[str, Callable[..., Reply]]:
        return {
            r"GET /v1/connected_user": self._connected_user,
            r"GET /v1/exports": self._list_exports,
            r"POST /v1/exports": self._create_export,
            r"GET /v1/exports/(\d+)": lambda request, export: _data(asdict(self._export(export, request))),
            r"PUT /v1/exports/(\d+)": self._edit_export,
            r"DELETE /v1/exports/(\d+)": self._archive_export,
            r"GET /v1/exports/(\d+)/executions": self._list_executions,
            r"POST /v1/exports/(\d+)/executions": self._start_ours,
            r"GET /v1/exports/(\d+)/executions/(\d+)": self._read_execution,
            r"GET /v1/exports/(\d+)/executions/(\d+)/files/technical_name=(.+)": self._file_by_segment,
            r"GET /v1/exports/(\d+)/executions/(\d+)/files": self._file_by_query,
            r"GET /v1/data_file/data": self._data_file,
            r"POST /v1/datamarts/(\d+)/queries": self._create_query,
            r"GET /v1/datamarts/(\d+)/queries/(\d+)": self._read_query,
            r"PUT /v1/datamarts/(\d+)/queries/(\d+)": self._change_query,
            r"POST /v1/datamarts/(\d+)/query_check/otql": self._check_query,
        }

    # Who calls

    def _log_in(self, request: Request) -> Reply:
        body = _body(request)
        if (body.get("email"), body.get("password")) != (_DEMO, self._knobs.password):
            raise MediarithmicsError(401, "The email or password is incorrect")
        token = secrets.token_urlsafe(36)
        with self._lock:
            self._tokens[token] = self._clock.now() + self._knobs.token_seconds
        return _data({"access_token": token, "expires_in": int(self._knobs.token_seconds), "refresh_token": None})

    def _check_caller(self, request: Request) -> None:
        token = str(request.headers.get("Authorization", ""))
        if token == self._knobs.api_token:
            return
        with self._lock:
            expires_at = self._tokens.get(token)
        if expires_at is None or self._clock.now() >= expires_at:
            raise MediarithmicsError(401, "The access token is missing or not valid")

    def _organisation(self, request: Request) -> str:
        named = request.query.get("organisation_id", "")
        if not named:
            raise MediarithmicsError(400, "organisation_id is required")
        return self._allowed(named)

    def _allowed(self, organisation: str) -> str:
        if organisation not in self._knobs.organisations:
            raise MediarithmicsError(403, f"You are not allowed to access organisation {organisation}")
        return organisation

    def _datamart(self, datamart: str) -> str:
        if datamart not in self._knobs.datamarts:
            raise MediarithmicsError(403, f"You are not allowed to access datamart {datamart}")
        return datamart

    def _connected_user(self, _: Request) -> Reply:
        spaces = [{"organisation_id": organisation} for organisation in sorted(self._knobs.organisations)]
        return _data({"id": "8987", "email": _DEMO, "workspaces": spaces})

    # Queries

    def _create_query(self, request: Request, datamart: str) -> Reply:
        self._datamart(datamart)
        body = _body(request)
        language, text = body.get("query_language"), body.get("query_text")
        if language not in _LANGUAGES or not isinstance(text, str) or body.get("datamart_id", datamart) != datamart:
            raise MediarithmicsError(400, "query_language and query_text are required")
        query = Query(self._next("query"), datamart, str(language), text)
        self._queries[query.id] = query
        return _data(asdict(query))

    def _read_query(self, _: Request, datamart: str, query: str) -> Reply:
        if not self._knobs.query_reads:
            raise MediarithmicsError(404)
        return _data(asdict(self._query(datamart, query)))

    def _change_query(self, request: Request, datamart: str, query: str) -> Reply:
        known = self._query(datamart, query)
        known.query_text = str(_body(request).get("query_text", known.query_text))
        return _data(asdict(known))

    def _query(self, datamart: str, query: str) -> Query:
        known = self._queries.get(query)
        if known is None or known.datamart_id != self._datamart(datamart):
            raise MediarithmicsError(404)
        return known

    def _check_query(self, request: Request, datamart: str) -> Reply:
        self._datamart(datamart)
        text = _body(request).get("query")
        if not isinstance(text, str):
            raise MediarithmicsError(400, "query is required")
        wrong = None if "FAIL" in text else fault(text)
        if wrong is None:
            return _data({"type": "VALID", "status": "ok"})
        told = {"message": wrong.message, "position": {"row": 1, "col": 1}, "error_type": wrong.error_type}
        return _data({"type": wrong.kind, "status": "error", "error": told})

    # Exports

    def _list_exports(self, request: Request) -> Reply:
        organisation = self._organisation(request)
        word = request.query.get("keywords", "").lower()
        shown = [
            asdict(export)
            for export in self._exports.values()
            if export.organisation_id == organisation and word in export.name.lower()
        ]
        return self._page(request, shown, _EXPORTS_SHOWN)

    def _create_export(self, request: Request) -> Reply:
        organisation = self._organisation(request)
        export = self._written(_body(request), Export(self._next("export"), organisation, "", "", "", ""))
        self._exports[export.id] = export
        return _data(asdict(export))

    def _edit_export(self, request: Request, export: str) -> Reply:
        known = self._export(export, request)
        self._exports[export] = self._written({**asdict(known), **_body(request)}, known)
        return _data(asdict(self._exports[export]))

    def _written(self, body: Mapping[str, Any], export: Export) -> Export:
        query = self._queries.get(str(body.get("query_id")))
        if not isinstance(body.get("name"), str) or body.get("type") != "QUERY":
            raise MediarithmicsError(400, "name, and type QUERY, are required")
        if query is None or body.get("output_format") not in ("JSON", "CSV"):
            raise MediarithmicsError(400, "query_id of a query, and output_format JSON or CSV, are required")
        return replace(
            export,
            name=body["name"],
            query_id=query.id,
            datamart_id=query.datamart_id,
            output_format=body["output_format"],
        )

    def _archive_export(self, request: Request, export: str) -> Reply:
        del self._exports[self._export(export, request).id]
        return _data({})

    def _export(self, export_id: str, request: Request) -> Export:
        export = self._exports.get(export_id)
        named = request.query.get("organisation_id")
        if export is None or (named is not None and named != export.organisation_id):
            raise MediarithmicsError(404)
        self._allowed(export.organisation_id)
        return export

    # Executions

    def _start_ours(self, request: Request, export_id: str) -> Reply:
        export = self._export(export_id, request)
        if _body(request) != {}:
            raise MediarithmicsError(400, "the body must be an empty JSON object")
        started = self._start(export, ours=True)
        for _ in range(self._knobs.crowd):
            self._start(export, ours=False).verdict = "SUCCEEDED"
        return _data(self._shown(started, "PENDING"))

    def _start(self, export: Export, *, ours: bool) -> Execution:
        now, knobs = self._clock.now(), self._knobs
        query = self._queries[export.query_id].query_text
        started = sum(each.ours for each in self._executions.values())
        spared = knobs.failures is not None and started >= knobs.failures
        execution = Execution(
            self._next("execution"),
            export.id,
            export.organisation_id,
            query,
            export.output_format,
            created_at=now,
            ready_at=now + knobs.job_seconds,
            ours=ours,
            ends="FAILED" if "FAIL" in query else "SUCCEEDED" if spared else knobs.job_ends,
            knobs=knobs,
        )
        self._executions[execution.id] = execution
        return execution

    def _settle(self) -> None:
        """Bring every execution up to now."""
        now = self._clock.now()
        for execution in self._executions.values():
            ends = execution.verdict or (execution.ends if now >= execution.ready_at else "never")
            if not execution.status and ends != "never":
                execution.status = ends
                execution.ended_at = now if execution.verdict else execution.ready_at

    def _list_executions(self, request: Request, export_id: str) -> Reply:
        export = self._export(export_id, request)
        listed = [self._shown(each) for each in self._executions.values() if each.export_id == export.id]
        return self._page(request, listed if self._knobs.oldest_first else listed[::-1], _EXECUTIONS_SHOWN)

    def _read_execution(self, _: Request, export_id: str, execution_id: str) -> Reply:
        execution = self._execution(execution_id, export_id)
        if not self._knobs.execution_reads:
            raise MediarithmicsError(404)
        return _data(self._shown(execution))

    def _execution(self, execution_id: str, export_id: str | None = None) -> Execution:
        execution = self._executions.get(execution_id)
        if execution is None or export_id not in (None, execution.export_id):
            raise MediarithmicsError(404)
        self._allowed(execution.organisation_id)
        return execution

    def _shown(self, execution: Execution, status: str = "") -> dict[str, Any]:
        status = status or execution.status or self._waiting_word(execution)
        waits, ended = status == execution.knobs.waits_as[0], status in _ENDED
        start = execution.created_at + min(execution.knobs.job_seconds / 10, 5)
        document = {
            "parameters": {},
            "organisation_id": execution.organisation_id,
            "user_id": "8987",
            "result": {"output_files": list(execution.knobs.output_files)}
            if status in _GOOD and execution.knobs.result
            else None,
            "error": self._error_of(execution) if status in ("FAILED", "LOST") else None,
            "id": execution.id,
            "status": status,
            "creation_date": _millis(execution.created_at),
            "start_date": None if waits else _millis(start),
            "duration": _millis(execution.ended_at) - _millis(start) if ended else None,
            "cancel_status": None,
            "debug": None,
            "is_retryable": status == "FAILED" and execution.knobs.retryable,
            "permalink_uri": base64.b64encode(f"permalink of {execution.id}".encode()).decode() if ended else "",
            **self._counters_of(execution, known=not waits, ended=ended),
            "retry_count": 0,
            "job_type": "DATAMART_QUERY_EXPORT",
        }
        return document | ({"end_date": _millis(execution.ended_at)} if ended else {})

    def _waiting_word(self, execution: Execution) -> str:
        words = execution.knobs.waits_as
        passed = (self._clock.now() - execution.created_at) / max(execution.ready_at - execution.created_at, 1e-9)
        # The first word is short, as the queue is; the others share what is left.
        place = 0 if passed < 0.1 else 1 + int((passed - 0.1) / 0.9 * (len(words) - 1))
        return words[min(place, len(words) - 1)]

    def _counters_of(self, execution: Execution, *, known: bool, ended: bool) -> dict[str, object]:
        names = ("num_tasks", "completed_tasks", "erroneous_tasks")
        if not known or execution.knobs.counters == "none":
            return dict.fromkeys(names)
        tasks = _content(execution)[1]
        share = (self._clock.now() - execution.created_at) / max(execution.ready_at - execution.created_at, 1e-9)
        done = tasks if ended else int(tasks * min(share, 1))
        erroneous = round(done * execution.knobs.erroneous_share)
        counts = (tasks, done - erroneous, erroneous)
        return {
            name: str(count) if execution.knobs.counters == "text" else count
            for name, count in zip(names, counts, strict=True)
        }

    def _error_of(self, execution: Execution) -> object:
        text = "Query execution failed: the graph did not answer in time"
        return {"text": text, "object": {"message": text}, "none": None}[execution.knobs.error]

    # Files

    def _file_by_segment(self, _: Request, export: str, execution: str, name: str) -> Reply:
        return self._file("segment", self._execution(execution, export), name)

    def _file_by_query(self, request: Request, export: str, execution: str) -> Reply:
        return self._file("query", self._execution(execution, export), request.query.get("technical_name", ""))

    def _data_file(self, request: Request) -> Reply:
        found = _DATA_FILE.fullmatch(request.query.get("uri", ""))
        if not found:
            raise MediarithmicsError(400, "uri is required")
        execution = self._execution(found[2])
        if execution.organisation_id != found[1]:
            raise MediarithmicsError(404)
        if found[4] == "error":
            if execution.status != "FAILED" or not execution.knobs.error_file or found[3] != "export":
                raise MediarithmicsError(404)
            text = f"execution {execution.id}: Query execution failed: the graph did not answer in time\n"
            return Reply(200, {"Content-Type": "text/plain"}, Bytes(text.encode()))
        return self._file("data_file", execution, found[3])

    def _file(self, path: str, execution: Execution, name: str) -> Reply:
        there = execution.status in _GOOD and name in execution.knobs.output_files
        if path not in self._knobs.paths or not there:
            raise MediarithmicsError(404)
        body, _ = _content(execution)
        return Reply(200, {"Content-Type": "application/octet-stream"}, body, self._knobs.framing)

    # Lists

    def _page(self, request: Request, items: Sequence[object], most: int) -> Reply:
        first = _number(request, "first_result", 0)
        most = min(_number(request, "max_results", most), self._knobs.most_results)
        page = items[first : first + most]
        total = {"total": len(items)} if self._knobs.totals else {}
        return json_reply(
            200,
            {
                "status": "ok",
                "data": page,
                "count": len(page),
                **total,
                "first_result": first,
                "max_result": most,
                "max_results": most,
            },
        )

    def _next(self, what: str) -> str:
        self._numbers[what] += 1
        return str(self._numbers[what])


def _data(document: object) -> Reply:
    return json_reply(200, {"status": "ok", "data": document})


def _body(request: Request) -> dict[str, Any]:
    kind = str(request.headers.get("Content-Type", "")).partition(";")[0].strip()
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if kind != "application/json" or not isinstance(body, dict):
        raise MediarithmicsError(400, "the body must be a JSON object, sent as application/json")
    return body


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise MediarithmicsError(400, f"{name} is not a number")
    return int(text)


def _content(execution: Execution) -> tuple[Content, int]:
    knobs = execution.knobs
    return content(
        execution.query_text,
        execution.output_format,
        knobs.rows,
        knobs.big_file_bytes,
        last_newline=knobs.last_newline,
    )


@lru_cache(maxsize=32)
def _sha256(body: Content) -> str:
    digest = hashlib.sha256()
    for chunk in body.chunks(0, body.size):
        digest.update(chunk)
    return digest.hexdigest()


def _millis(seconds: float) -> int:
    return int(seconds * 1000)


def _mebibytes(text: str) -> int:
    return int(float(text) * 1024 * 1024)
