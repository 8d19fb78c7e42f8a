"""The ways a mediarithmics query export can go, by name."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from infra.local.vendors.simulator import Knobs, Scenario

_POLL = {"method": "GET", "path": "/executions$"}
_START = {"method": "POST", "path": "/executions$"}
_CREATE = {"method": "POST", "path": "/v1/exports$"}
_FILE = {"method": "GET", "path": "/files/|/data_file/data$"}
_PROXY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>\r\n"


class MediarithmicsKnobs(Knobs):
    """How the simulated mediarithmics behaves. It publishes no limit on calls, so there is none to speak of."""

    calls_per_minute: int = 1_000_000
    calls_per_hour: int = 1_000_000

    job_seconds: float = Field(5, ge=0)
    job_ends: Literal["SUCCEEDED", "SUCCESS", "FAILED", "LOST", "CANCELED", "never"] = "SUCCEEDED"
    failures: int | None = Field(None, ge=0)  # how many executions end badly before one succeeds; None is no end
    waits_as: tuple[str, ...] = ("PENDING", "RUNNING")  # what an execution is called until it ends, in equal shares
    retryable: bool = False
    error: Literal["text", "object", "none"] = "text"
    error_file: bool = True

    erroneous_share: float = Field(0, ge=0, le=1)
    counters: Literal["numbers", "text", "none"] = "numbers"
    result: bool = True
    output_files: tuple[str, ...] = ("export",)

    rows: int = Field(3322, ge=0)
    big_file_bytes: int = Field(0, ge=0)  # in place of `rows`, at least so many bytes
    last_newline: bool = True
    framing: Literal["length", "chunked", "close"] = "length"
    paths: frozenset[Literal["segment", "query", "data_file"]] = frozenset({"segment", "data_file"})

    crowd: int = Field(0, ge=0)  # executions that others start right after each of ours
    most_results: int = Field(200, ge=1)  # on a page, whatever was asked for
    totals: bool = True
    oldest_first: bool = False
    query_reads: bool = True
    execution_reads: bool = False  # GET .../executions/{id}, which is documented nowhere

    organisations: frozenset[str] = frozenset({"1426"})
    datamarts: frozenset[str] = frozenset({"1509"})
    api_token: str = "demo"  # noqa: S105 - the simulator's, known to all
    password: str = "demo"  # noqa: S105 - see api_token
    token_seconds: float = 3600


def _burst(status: int, **do: object) -> list[Mapping[str, object]]:
    effect = {"status": status, **do}
    return [{"match": _POLL, "times": 3, "do": effect}, {"match": _FILE, "do": effect}]


SCENARIOS: Mapping[str, Scenario] = {
    "success": Scenario("all goes well; a query whose text contains FAIL ends FAILED here as everywhere"),
    "second-page": Scenario(
        "twelve others follow each execution, and a page has ten", {"crowd": 12, "most_results": 10}
    ),
    "oldest-first": Scenario("lists begin with the oldest", {"oldest_first": True}),
    "no-totals": Scenario("lists do not tell their total", {"totals": False, "most_results": 10}),
    "erroneous-tasks": Scenario("SUCCEEDED, with 7.57 % of the tasks erroneous", {"erroneous_share": 22703 / 299808}),
    "empty-file": Scenario("SUCCEEDED, with a file of 0 bytes", {"rows": 0}),
    "failed-retryable": Scenario("FAILED, is_retryable true", {"job_ends": "FAILED", "retryable": True}),
    "failed-final": Scenario("FAILED, is_retryable false", {"job_ends": "FAILED"}),
    "failed-once": Scenario(
        "the first execution FAILED, is_retryable true; the next ones succeed",
        {"job_ends": "FAILED", "retryable": True, "failures": 1},
    ),
    "failed-without-file": Scenario(
        "FAILED, with neither an error nor an export.error",
        {"job_ends": "FAILED", "error": "none", "error_file": False},
    ),
    "failed-with-object": Scenario("FAILED, with {message} for an error", {"job_ends": "FAILED", "error": "object"}),
    "lost": Scenario("LOST, an older word for failed", {"job_ends": "LOST"}),
    "canceled": Scenario("CANCELED in the console", {"job_ends": "CANCELED"}),
    "never-finishes": Scenario("the execution runs for ever", {"job_ends": "never"}),
    "odd-words": Scenario(
        "on its way to SUCCESS an execution is called what older consoles know",
        {
            "waits_as": ["PENDING", "WAITING_DEPENDENT_JOB", "SCHEDULED", "EXECUTOR_NOT_RESPONDING"],
            "job_ends": "SUCCESS",
        },
    ),
    "result-null": Scenario("SUCCEEDED, with result null", {"result": False}),
    "two-files": Scenario("SUCCEEDED, with two output_files", {"output_files": ["export", "export_2"]}),
    "null-counters": Scenario("SUCCEEDED, with counters null", {"counters": "none"}),
    "text-counters": Scenario("counters are strings", {"counters": "text", "erroneous_share": 0.01}),
    "ids-as-strings": Scenario("every id is a string, as always"),
    "bearer-refused": Scenario("401 to a token with Bearer before it, as always"),
    "missing-body": Scenario("400 to an execution whose body is not {}, as always"),
    "bad-query": Scenario("a query that cannot be parsed exports an empty file and no message, as always"),
    "download-not-found": Scenario("404 with an error body in place of every file", {"paths": []}),
    "data-file-only": Scenario("files under the data_file path alone", {"paths": ["data_file"]}),
    "query-path-only": Scenario("technical_name in the query alone", {"paths": ["query"]}),
    "no-query-reads": Scenario("no query can be read back", {"query_reads": False}),
    "execution-reads": Scenario("a single execution can be asked for", {"execution_reads": True}),
    "no-last-newline": Scenario("the last line ends without a newline", {"last_newline": False}),
    "error-as-file": Scenario(
        "the error body with status 200 in place of every file",
        faults=[
            {
                "match": _FILE,
                "times": None,
                "do": {"body": {"status": "error", "error": "Internal Server Error", "error_id": "9eedef5f-0c1d"}},
            }
        ],
    ),
    "error-page": Scenario(
        "every file is a page of HTML, with status 200",
        faults=[{"match": _FILE, "times": None, "do": {"body": "<!DOCTYPE html><p>Please sign in.</p>\n"}}],
    ),
    "rate-limited": Scenario(
        "429 with Retry-After: the first execution, three polls and a download",
        faults=[
            {"match": _START, "do": {"status": 429, "headers": {"Retry-After": "2"}}},
            *_burst(429, headers={"Retry-After": "2"}),
        ],
    ),
    "rate-limited-bare": Scenario("429 without Retry-After: three polls and a download", faults=_burst(429)),
    "server-errors": Scenario("500: three polls, a file once", faults=_burst(500)),
    "bad-gateway": Scenario(
        "502 with a proxy's page, likewise", faults=_burst(502, body=_PROXY_PAGE.format("502 Bad Gateway"))
    ),
    "gateway-timeout": Scenario(
        "504 with a proxy's page, likewise", faults=_burst(504, body=_PROXY_PAGE.format("504 Gateway Time-out"))
    ),
    "lost-reply": Scenario(
        "the first execution is started, and the reply is lost", faults=[{"match": _START, "do": {"drop_reply": True}}]
    ),
    "lost-start": Scenario(
        "the call for the first execution breaks before it arrives", faults=[{"match": _START, "do": {"reset": True}}]
    ),
    "start-gateway-timeout": Scenario(
        "the first execution is started, and answers 504",
        faults=[
            {"match": _START, "do": {"status": 504, "body": _PROXY_PAGE.format("504 Gateway Time-out"), "work": True}}
        ],
    ),
    "lost-export-reply": Scenario(
        "the first export is created, and the reply is lost", faults=[{"match": _CREATE, "do": {"drop_reply": True}}]
    ),
    "token-expires-polling": Scenario(
        "the temporary token expires before the second poll",
        faults=[{"match": _POLL, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "token-expires-download": Scenario(
        "the temporary token expires before the second download",
        faults=[{"match": _FILE, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "wrong-organisation": Scenario("403: the user belongs to another organisation", {"organisations": ["1427"]}),
    "truncated-body": Scenario(
        "every file breaks off halfway, short of its Content-Length",
        faults=[{"match": _FILE, "times": None, "do": {"truncate_after": 0.5}}],
    ),
    "connection-reset": Scenario(
        "the first file's connection is reset halfway, once",
        faults=[{"match": _FILE, "do": {"truncate_after": 0.5, "reset": True}}],
    ),
    "chunked": Scenario("files come in chunks, without a length", {"framing": "chunked"}),
    "no-content-length": Scenario("files end where the connection does", {"framing": "close"}),
    "slow-download": Scenario(
        "files come at 100 kB/s", faults=[{"match": _FILE, "times": None, "do": {"rate_bytes_per_second": 100_000}}]
    ),
}
