"""The ways an Adobe export job can go, by name."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from infra.local.vendors.simulator import Knobs, Scenario

_POLL = {"method": "GET", "path": "/export/jobs/[^/]+$"}
_SUBMIT = {"method": "POST", "path": "/export/jobs/?$"}
_BATCH = {"method": "GET", "path": "/batches/[^/]+/files$"}
_CONTENT = {"method": "GET", "path": "/files/", "query": "path"}
_PROXY_PAGE = "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body></body>\r\n</html>\r\n"


class AdobeKnobs(Knobs):
    """How the simulated Adobe Experience Platform behaves."""

    calls_per_minute: int = 10_000  # Adobe publishes no number
    calls_per_hour: int = 1_000_000
    job_seconds: float = Field(5, ge=0)
    job_ends: Literal["success", "failed", "wrong-dataset", "never", "unknown"] = "success"
    cancel_seconds: float = Field(1, ge=0)  # that a job is CANCELLING
    delete_replies: Literal["200", "204-with-body", "204"] = "200"
    cancelled_jobs_vanish: bool = False
    token_seconds: float = 86_399

    profiles: int = Field(1000, ge=0)
    files_per_batch: int = Field(2, ge=1)
    parts_per_file: int = Field(2, ge=1)
    part_bytes: int = Field(0, ge=0)  # at least so many in every part, by the same rows over and over
    nested: bool = False  # a directory in the directory
    same_names: bool = False  # the parts of every file have the same names
    files_after_seconds: float = Field(0, ge=0)  # that a batch lags behind its job
    ranges: bool = True
    etags: bool = False  # on what is downloaded: Adobe documents none
    longest_range: int | None = Field(None, ge=1)

    past_jobs: int = Field(0, ge=0)  # of earlier days, in the list
    jobs_per_page: int = Field(100, ge=1)
    files_per_page: int = Field(100, ge=1, le=100)
    batches_as: Literal["array", "object"] = "array"
    segment_status_as_text: bool = False
    counter: Literal["nested", "flat", "none", "wrong"] = "nested"
    errors_on_success: bool = False
    misspelt_dataset_id: bool = False

    client_id: str = "demo"
    client_secret: str = "demo"  # noqa: S105 - the simulator's, known to all
    org_id: str = "demo@AdobeOrg"
    sandboxes: frozenset[str] = frozenset({"prod"})
    permitted: bool = True  # to do what it asks
    loses_sandbox_header: bool = False
    link_host: str = "https://platform.adobe.io:443"


SCENARIOS: Mapping[str, Scenario] = {
    "success": Scenario("all goes well: NEW, QUEUED, PROCESSING, SUCCEEDED; 2 files of 2 parts a batch"),
    "batches-array": Scenario("with segmentPerBatch, destination.batches is a list"),
    "batches-object": Scenario("with segmentPerBatch, destination.batches is an object", {"batches_as": "object"}),
    "status-text": Scenario("the status of a batch's segment is a text", {"segment_status_as_text": True}),
    "three-pages": Scenario("the list of jobs has three pages", {"past_jobs": 5, "jobs_per_page": 2}),
    "failed": Scenario("the job fails, with errors", {"job_ends": "failed"}),
    "wrong-dataset": Scenario("the job fails: its dataset is no profile dataset", {"job_ends": "wrong-dataset"}),
    "never-finishes": Scenario("the job stays PROCESSING for ever", {"job_ends": "never"}),
    "unknown-status": Scenario("the job ends as PAUSED, which nobody knows", {"job_ends": "unknown"}),
    "errors-on-success": Scenario("the job SUCCEEDED, and carries errors", {"errors_on_success": True}),
    "cancel-200": Scenario("DELETE answers 200 with a body; the job is CANCELLING, then CANCELLED"),
    "cancel-204-with-body": Scenario("DELETE answers 204, with a body", {"delete_replies": "204-with-body"}),
    "cancel-204": Scenario("DELETE answers 204", {"delete_replies": "204"}),
    "cancelled-is-gone": Scenario("a cancelled job is 404", {"cancelled_jobs_vanish": True}),
    "token-expires-polling": Scenario(
        "401013 before the second poll", faults=[{"match": _POLL, "skip": 1, "do": {"also": "expire-tokens"}}]
    ),
    "token-expires-download": Scenario(
        "401013 before the second download", faults=[{"match": _CONTENT, "skip": 1, "do": {"also": "expire-tokens"}}]
    ),
    "not-permitted": Scenario("403025: the credentials are right, and may do nothing", {"permitted": False}),
    "missing-sandbox": Scenario("x-sandbox-name is lost on its way", {"loses_sandbox_header": True}),
    "rate-limited": Scenario(
        "429050 with Retry-After: the first submission, three polls, a download",
        faults=[
            {"match": match, "times": times, "do": {"status": 429, "headers": {"Retry-After": "2"}}}
            for match, times in ((_SUBMIT, 1), (_POLL, 3), (_CONTENT, 1))
        ],
    ),
    "rate-limited-bare": Scenario(
        "429050 without Retry-After: three polls",
        faults=[{"match": _POLL, "times": 3, "do": {"status": 429}}],
    ),
    "server-errors": Scenario(
        "503: three polls, a list of files, a download",
        faults=[
            {"match": match, "times": times, "do": {"status": 503}}
            for match, times in ((_POLL, 3), (_BATCH, 1), (_CONTENT, 1))
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
        faults=[{"match": _SUBMIT, "do": {"status": 504, "body": _PROXY_PAGE, "work": True}}],
    ),
    "files-late": Scenario("a batch has no files for 3 seconds after its job", {"files_after_seconds": 3}),
    "files-never": Scenario("a batch never gets files", {"files_after_seconds": 1e9}),
    "many-files": Scenario("130 files of a part a batch: two pages", {"files_per_batch": 130, "parts_per_file": 1}),
    "nested-directories": Scenario("a file is a directory of directories", {"nested": True}),
    "same-names": Scenario("the parts of every file have the same names", {"same_names": True}),
    "short-ranges": Scenario("a range comes shorter than asked for: 1000 bytes", {"longest_range": 1000}),
    "no-ranges": Scenario("Range is ignored", {"ranges": False}),
    "truncated-body": Scenario(
        "every part ends halfway, with the length that suits: shorter than its list says",
        faults=[{"match": _CONTENT, "times": None, "do": {"truncate_after": 0.5, "content_length": "cut"}}],
    ),
    "truncated-once": Scenario(
        "the first part breaks off halfway, once", faults=[{"match": _CONTENT, "do": {"truncate_after": 0.5}}]
    ),
    "connection-reset": Scenario(
        "the first part's connection is reset halfway, once",
        faults=[{"match": _CONTENT, "do": {"truncate_after": 0.5, "reset": True}}],
    ),
    "corrupt-parquet": Scenario(
        "the last byte of every part is wrong",
        faults=[{"match": _CONTENT, "times": None, "do": {"flip_byte": -1}}],
    ),
    "error-page": Scenario(
        "every part is a page of HTML, with status 200",
        faults=[{"match": _CONTENT, "times": None, "do": {"body": "<!DOCTYPE html><title>Adobe</title>\n"}}],
    ),
    "slow-download": Scenario(
        "parts come at 20 kB/s", faults=[{"match": _CONTENT, "times": None, "do": {"rate_bytes_per_second": 20_000}}]
    ),
    "flat-counter": Scenario("totalExportedProfileCounter stands beside metrics", {"counter": "flat"}),
    "no-counter": Scenario("there is no totalExportedProfileCounter", {"counter": "none"}),
    "wrong-counter": Scenario("totalExportedProfileCounter is one more than there are rows", {"counter": "wrong"}),
    "misspelt-dataset-id": Scenario("destination.dataSetId, with a capital", {"misspelt_dataset_id": True}),
}
