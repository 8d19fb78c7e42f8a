"""The ways a LiquidAnalytics job can go, by name."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from infra.local.vendors.simulator import Knobs, Scenario

_SUBMIT = {"method": "POST", "path": "/batch/(export|import)$"}
_POLL = {"method": "POST", "path": "/batch/status$"}
_FILE = {"method": "GET", "path": "/batch/download/"}
_PROXY_PAGE = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body>\r\n</html>\r\n"
)
_WEEK = 7 * 86_400.0


class LiquidKnobs(Knobs):
    """How the simulated LiquidAnalytics behaves."""

    calls_per_minute: int = Field(0, ge=0)  # 0: no limit, as none is published
    calls_per_hour: int = Field(0, ge=0)
    job_seconds: float = Field(5, ge=0)
    job_ends: Literal["success", "failed", "rejected", "never"] = "success"
    canceling_seconds: float = Field(2, ge=0)  # until a job that is Canceling is due to run, and Canceled
    attendees: int = Field(1200, ge=0)
    big_file_bytes: int = Field(0, ge=0)  # 0: files hold what was asked for

    files: int = Field(1, ge=1)
    links_as: Literal["links", "downloadLinks", "urls", "files", "href", "url", "reason", "mail"] = "links"
    links_when_empty: bool = False
    links_from: str | None = None  # another base URL than the simulator's own
    link_seconds: float = Field(_WEEK, ge=0)
    gone: Literal[403, 404, 410] = 410  # the status of a link that has had its time
    file_names: bool = True  # told in Content-Disposition
    framing: Literal["length", "chunked", "close"] = "length"

    numbers: Literal["strings", "numbers", "missing"] = "strings"
    miscounts: int = 0  # by how much recordsProcessed is wrong at the end
    status_word: str | None = None  # in place of Processing
    unknown_job: Literal[200, 400, 404] = 404  # the status that an unknown jobId is answered with

    password: str = "demo"  # noqa: S105 - the simulator's, known to all
    client_secret: str = "demo"  # noqa: S105 - see password
    public_client: bool = False  # a login needs no client
    token_seconds: float = 3600
    tells_expiry: bool = True  # expires_in is in the token's reply


def _burst(status: int, body: str | None = None) -> list[Mapping[str, object]]:
    do: dict[str, object] = {"status": status} if body is None else {"status": status, "body": body}
    return [{"match": _POLL, "times": 3, "do": do}]


SCENARIOS: Mapping[str, Scenario] = {
    "success": Scenario("all goes well: one link, in links"),
    "three-links": Scenario("all goes well: three files", {"files": 3}),
    "slow-processing": Scenario("a job takes a minute, and recordsProcessed rises", {"job_seconds": 60}),
    "rejected": Scenario("a job is rejected after it was initialized", {"job_ends": "rejected"}),
    "failed": Scenario("a job fails halfway, and its reason says why", {"job_ends": "failed"}),
    "never-finishes": Scenario("a job runs for ever", {"job_ends": "never"}),
    "cancel": Scenario(
        "a job runs for ever; canceled, it is Canceling for ten seconds", {"job_ends": "never", "canceling_seconds": 10}
    ),
    "unknown-status": Scenario("a job that runs calls it Paused", {"status_word": "Paused"}),
    "token-expires-polling": Scenario(
        "the token expires before the second poll",
        faults=[{"match": _POLL, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "token-expires-download": Scenario(
        "the token expires before the second download",
        faults=[{"match": _FILE, "skip": 1, "do": {"also": "expire-tokens"}}],
    ),
    "bare-token": Scenario(
        "the token comes without expires_in, and lasts half an hour", {"tells_expiry": False, "token_seconds": 1800}
    ),
    "server-errors": Scenario("500: three polls", faults=_burst(500)),
    "bad-gateway": Scenario(
        "502 with a proxy's page: three polls", faults=_burst(502, _PROXY_PAGE.format("502 Bad Gateway"))
    ),
    "gateway-timeout": Scenario(
        "504 with a proxy's page: three polls", faults=_burst(504, _PROXY_PAGE.format("504 Gateway Time-out"))
    ),
    "rate-limited": Scenario(
        "429: the first submission and three polls",
        faults=[
            {"match": _SUBMIT, "do": {"status": 429, "headers": {"Retry-After": "2"}}},
            {"match": _POLL, "times": 3, "do": {"status": 429}},
        ],
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
    "bad-request": Scenario(
        "submissions are refused with 400", faults=[{"match": _SUBMIT, "times": None, "do": {"status": 400}}]
    ),
    "job-forgotten": Scenario("jobs are unknown: 404", faults=[{"match": _POLL, "times": None, "do": {"status": 404}}]),
    "unknown-job-400": Scenario("an unknown jobId is answered with 400", {"unknown_job": 400}),
    "unknown-job-200": Scenario("an unknown jobId is answered with 200 and an error", {"unknown_job": 200}),
    "mail-only": Scenario("links come by mail alone", {"links_as": "mail"}),
    "link-in-reason": Scenario("links are in the text of reason", {"links_as": "reason", "files": 2}),
    "link-objects": Scenario("links are objects with href", {"links_as": "href", "files": 2}),
    "other-link-field": Scenario("links are in downloadLinks", {"links_as": "downloadLinks"}),
    "empty": Scenario("no attendees, and no link", {"attendees": 0}),
    "empty-with-link": Scenario(
        "no attendees, and a link to a file of none", {"attendees": 0, "links_when_empty": True}
    ),
    "missing-numbers": Scenario("recordsProcessed and runTime are left out", {"numbers": "missing"}),
    "plain-numbers": Scenario("recordsProcessed and runTime are numbers", {"numbers": "numbers"}),
    "miscounted": Scenario("recordsProcessed is one more than there are", {"miscounts": 1}),
    "expired": Scenario("links are gone as soon as they are there: 410", {"link_seconds": 0}),
    "expired-403": Scenario("likewise: 403", {"link_seconds": 0, "gone": 403}),
    "expired-404": Scenario("likewise: 404", {"link_seconds": 0, "gone": 404}),
    "nameless": Scenario("files come without Content-Disposition", {"file_names": False}),
    "truncated-body": Scenario(
        "every file breaks off halfway, short of its Content-Length",
        faults=[{"match": _FILE, "times": None, "do": {"truncate_after": 0.5}}],
    ),
    "truncated-cleanly": Scenario(
        "every file ends halfway, with the length that suits",
        faults=[{"match": _FILE, "times": None, "do": {"truncate_after": 0.5, "content_length": "cut"}}],
    ),
    "truncated-once": Scenario(
        "the first file breaks off halfway, once", faults=[{"match": _FILE, "do": {"truncate_after": 0.5}}]
    ),
    "connection-reset": Scenario(
        "the first file's connection is reset halfway, once",
        faults=[{"match": _FILE, "do": {"truncate_after": 0.5, "reset": True}}],
    ),
    "error-page": Scenario(
        "every file is a page of HTML, with status 200",
        faults=[
            {
                "match": _FILE,
                "times": None,
                "do": {"body": "<!DOCTYPE html><title>Liquid Decisions</title><p>Please sign in.</p>\n"},
            }
        ],
    ),
    "no-content-length": Scenario("files end where the connection does", {"framing": "close"}),
    "chunked": Scenario("files come in chunks, without a length", {"framing": "chunked"}),
    "slow-download": Scenario(
        "files come at 100 kB/s", faults=[{"match": _FILE, "times": None, "do": {"rate_bytes_per_second": 100_000}}]
    ),
}
