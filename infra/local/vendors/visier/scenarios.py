"""The ways a Visier export or load can go, by name."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from infra.local.vendors.simulator import Scenario
from infra.local.vendors.visier.jobs import JOB_SCENARIOS, JobKnobs

_POLL = {"method": "GET", "path": "/jobs/"}
_SUBMIT = {"method": "POST", "path": "/jobs$"}
_DETAILS = {"method": "GET", "path": "/exports/[^/]+$"}
_FILE = {"method": "GET", "path": "/files?/"}
_EXHAUSTED = {"X-RateLimit-Remaining-Minute": "0"}
_BARE: dict[str, None] = dict.fromkeys(
    f"X-RateLimit-{what}-{window}" for what in ("Limit", "Remaining") for window in ("Minute", "Hour")
)
_PROXY_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_DAY = 86_400.0


class VisierKnobs(JobKnobs):
    """How the simulated Visier behaves."""

    job_ends: Literal["success", "failed", "failed-completed", "never", "no-export"] = "success"
    token_seconds: float = 3600
    jobs_per_day: int = 10
    retention_seconds: float = 14 * _DAY
    published: int = Field(4, ge=1, le=6)  # how many of the data versions are listed at the start
    split_rows: int = Field(5000, ge=1)
    header_only_files: bool = False  # also for a table in which nothing changed
    awkward_names: bool = False
    tables: frozenset[str] | None = None  # those that there are; None is all
    big_file_bytes: int = Field(0, ge=0)  # compressed; 0 is no such table
    big_files: int = Field(1, ge=1)

    content_encoding: bool = True
    decoded: bool = False  # files served as plain text
    framing: Literal["length", "chunked", "close"] = "length"
    ranges: bool = False
    paths: frozenset[Literal["file", "files"]] = frozenset({"file", "files"})
    files_gone: bool = False  # although the details are still there

    vanity_name: str = "demo"
    password: str = "demo"  # noqa: S105 - the simulator's, known to all
    api_key: str = "demo"
    client_secret: str = "demo"  # noqa: S105 - see password
    redirect_uri: str | None = None
    tenants: frozenset[str] | None = None  # that TargetTenantID may name; None is any
    vanity_required: bool = False
    sso_only: bool = False
    capable: bool = True
    quoted_token: bool = False

    errors: Literal["localized", "legacy", "code"] = "localized"
    refuses_jobs: bool = False
    sparse: bool = False  # leaves out what is empty
    odd_types: bool = False  # lower-case data types, and one that nobody knows
    other_category: bool = False  # lists a newer version of another data category

    tenant_spelling: Literal["tenant", "tenantCode"] = "tenant"  # in the list of tenants' data versions
    list_cut_at: int | None = Field(None, ge=1)  # lists of tenants end there, with 206


def _burst(status: int, body: str | None = None) -> list[Mapping[str, object]]:
    do: dict[str, object] = {"status": status} if body is None else {"status": status, "body": body}
    return [
        {"match": _POLL, "times": 3, "do": do},
        {"match": _DETAILS, "do": do},
        {"match": _FILE, "do": do},
    ]


SCENARIOS: Mapping[str, Scenario] = {
    "success-full": Scenario("all goes well"),
    "success-delta": Scenario("all goes well; 7000004 against 7000002 or 7000003 has all that a delta can have"),
    "failed": Scenario("the job fails: failed, not completed", {"job_ends": "failed"}),
    "failed-completed": Scenario("the job fails: failed and completed", {"job_ends": "failed-completed"}),
    "never-finishes": Scenario("the job runs for ever", {"job_ends": "never"}),
    "completed-without-export": Scenario("the job completes, with no export to show", {"job_ends": "no-export"}),
    "token-expires-polling": Scenario(
        "the token expires before the second poll",
        faults=[{"match": _POLL, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "token-expires-download": Scenario(
        "the token expires before the second download",
        faults=[{"match": _FILE, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "rate-limited": Scenario(
        "429 with nothing remaining: the first submission and three polls",
        faults=[
            {"match": _SUBMIT, "do": {"status": 429, "headers": _EXHAUSTED}},
            {"match": _POLL, "times": 3, "do": {"status": 429, "headers": _EXHAUSTED}},
        ],
    ),
    "rate-limited-bare": Scenario(
        "429 without rate limit headers: three polls and a download",
        faults=[
            {"match": _POLL, "times": 3, "do": {"status": 429, "headers": _BARE}},
            {"match": _FILE, "do": {"status": 429, "headers": _BARE}},
        ],
    ),
    "daily-quota": Scenario("no submissions left today: 429 with calls remaining", {"jobs_per_day": 0}),
    "server-errors": Scenario("500: three polls, the details once, a file once", faults=_burst(500)),
    "bad-gateway": Scenario(
        "502 with a proxy's page, likewise", faults=_burst(502, _PROXY_PAGE.format("502 Bad Gateway"))
    ),
    "gateway-timeout": Scenario(
        "504 with a proxy's page, likewise", faults=_burst(504, _PROXY_PAGE.format("504 Gateway Time-out"))
    ),
    "lost-reply": Scenario(
        "the first submission works, and its reply is lost", faults=[{"match": _SUBMIT, "do": {"drop_reply": True}}]
    ),
    "lost-submission": Scenario(
        "the first submission breaks before it arrives", faults=[{"match": _SUBMIT, "do": {"reset": True}}]
    ),
    "submission-gateway-timeout": Scenario(
        "the first submission works, and answers 504",
        faults=[
            {
                "match": _SUBMIT,
                "do": {"status": 504, "body": _PROXY_PAGE.format("504 Gateway Time-out"), "work": True},
            }
        ],
    ),
    "expired": Scenario("the export is gone as soon as it is there: 404", {"retention_seconds": 0}),
    "expires-before-download": Scenario("the details are there, the files are gone: 404", {"files_gone": True}),
    "truncated-gzip": Scenario(
        "every file ends halfway, with the length that suits",
        faults=[{"match": _FILE, "times": None, "do": {"truncate_after": 0.5, "content_length": "cut"}}],
    ),
    "truncated-body": Scenario(
        "every file breaks off halfway, short of its Content-Length",
        faults=[{"match": _FILE, "times": None, "do": {"truncate_after": 0.5}}],
    ),
    "truncated-once": Scenario(
        "the first file breaks off halfway, once", faults=[{"match": _FILE, "do": {"truncate_after": 0.5}}]
    ),
    "connection-reset": Scenario(
        "the first file's connection is reset halfway, once",
        faults=[{"match": _FILE, "do": {"truncate_after": 0.5, "reset": True}}],
    ),
    "corrupt-gzip": Scenario(
        "a byte of every file's checksum is wrong", faults=[{"match": _FILE, "times": None, "do": {"flip_byte": -7}}]
    ),
    "error-page": Scenario(
        "every file is a page of HTML, with status 200",
        faults=[
            {
                "match": _FILE,
                "times": None,
                "do": {"body": "<!DOCTYPE html><title>Visier</title><p>Please sign in.</p>\n"},
            }
        ],
    ),
    "content-encoding": Scenario("files come with Content-Encoding: gzip, as always"),
    "no-content-encoding": Scenario("files come without Content-Encoding", {"content_encoding": False}),
    "decoded": Scenario("files come as plain text, under the same names", {"decoded": True}),
    "no-content-length": Scenario("files end where the connection does", {"framing": "close"}),
    "chunked": Scenario("files come in chunks, without a length", {"framing": "chunked"}),
    "ranges": Scenario("files can be had in ranges", {"ranges": True}),
    "file-path-only": Scenario("files under /file/ alone", {"paths": ["file"]}),
    "files-path-only": Scenario("files under /files/ alone", {"paths": ["files"]}),
    "empty-table": Scenario(
        "a file with a header alone for every table in which nothing changed", {"header_only_files": True}
    ),
    "awkward-names": Scenario("a table's name has a slash, a colon, spaces, accents", {"awkward_names": True}),
    "slow-download": Scenario(
        "files come at 100 kB/s", faults=[{"match": _FILE, "times": None, "do": {"rate_bytes_per_second": 100_000}}]
    ),
    "localized-error": Scenario("submissions are refused, in French, in localizedMessage", {"refuses_jobs": True}),
    "legacy-error": Scenario(
        "submissions are refused as {errorCode, message, rci}", {"refuses_jobs": True, "errors": "legacy"}
    ),
    "code-error": Scenario("submissions are refused with code for errorCode", {"refuses_jobs": True, "errors": "code"}),
    "missing-capability": Scenario("403: the user may log in, and do nothing", {"capable": False}),
    "sso-only": Scenario("the login is refused: this user signs in elsewhere", {"sso_only": True}),
    "vanity-required": Scenario("a login without vanityName answers 500", {"vanity_required": True}),
    "quoted-token": Scenario("the token comes in quotes, with a line end", {"quoted_token": True}),
    "sparse": Scenario("what is empty is left out of every document", {"sparse": True}),
    "odd-types": Scenario("data types in lower case, and one that nobody knows", {"odd_types": True}),
    "other-category": Scenario("the list has a newer version, of another data category", {"other_category": True}),
    **JOB_SCENARIOS,
}
