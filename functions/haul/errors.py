"""What can go wrong, sorted by what the caller should do about it.

    HaulError
    ├── TransientError                    try again later
    │   ├── RateLimitedError
    │   ├── VendorUnavailableError
    │   ├── UnreachableError
    │   ├── LedgerBusyError
    │   └── DamagedFileError              a download that has to be made again
    │       ├── TruncatedFileError
    │       ├── CorruptFileError
    │       ├── ErrorPageError
    │       └── FileChangedError
    └── PermanentError                    stop, and tell someone
        ├── InvalidInputError             the vendor has nothing to act on
        │   ├── InvalidEventError
        │   ├── UnknownConnectionError
        │   ├── InvalidSecretError
        │   ├── UnknownVersionError
        │   ├── BaseVersionGoneError
        │   ├── LandingNotWritableError
        │   ├── SourceGoneError
        │   ├── SourceNotReadableError
        │   ├── DamagedSourceError
        │   ├── SourceTooSlowError
        │   └── RunNotFoundError
        ├── CredentialsRefusedError
        ├── MissingCapabilityError
        ├── QuotaExceededError
        ├── RequestRejectedError
        ├── LoadRefusedError
        ├── UnexpectedResponseError
        ├── UnsafeLinkError
        ├── SubmissionInDoubtError
        ├── ExportFailedError
        ├── LoadFailedError
        ├── PollingFailedError
        ├── DeadlineExceededError
        ├── ResultExpiredError
        ├── ResultByMailError
        ├── RetypedColumnError
        ├── BaseMovedError
        ├── IncompleteDownloadError
        ├── DownloadTooSlowError
        ├── RowCountError
        ├── EmptyResultError
        ├── RunAbandonedError
        ├── ExecutionLostError
        └── CancelledError

A state machine matches an error by its exact class name and knows nothing of inheritance, so
Retry clauses take their names from `names_of` and never spell one by hand. `docs/runbook.md` has a
paragraph for every leaf of this tree.
"""

INFRASTRUCTURE_ERRORS = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Runtime.OutOfMemory",
    "Sandbox.Timedout",
)
"""Lambda's own names for a crash, a timeout, a throttle: the call may or may not have done its work."""


class HaulError(Exception):
    """Anything that Haul itself raises."""


class TransientError(HaulError):
    """Try again later."""


class RateLimitedError(TransientError):
    """The vendor asked us to slow down.

    `retry_after` is how many seconds the vendor asked for, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VendorUnavailableError(TransientError):
    """The vendor did not answer, or answered 500, 502, 503 or 504.

    `sent` is False only when the request certainly never reached the vendor.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class UnreachableError(TransientError):
    """What would change something at the vendor was certainly not sent, so it may be tried again."""


class LedgerBusyError(TransientError):
    """Several writers want the same ledger document, or S3 did not answer."""


class DamagedFileError(TransientError):
    """What was downloaded is not the whole, right file."""


class TruncatedFileError(DamagedFileError):
    """The file ended before its end."""


class CorruptFileError(DamagedFileError):
    """The bytes do not prove themselves: checksum, structure or columns are wrong."""


class ErrorPageError(DamagedFileError):
    """An error page or message came in place of the file."""


class FileChangedError(DamagedFileError):
    """The vendor replaced the file while it was downloaded."""


class PermanentError(HaulError):
    """Stop, and tell someone."""


class InvalidInputError(PermanentError):
    """What the user gave is wrong; nothing that it could act on was sent to the vendor."""


class InvalidEventError(InvalidInputError):
    """The event, or the pipeline behind it, does not fit its schema."""


class UnknownConnectionError(InvalidInputError):
    """No secret of that name, or no right to read it."""


class InvalidSecretError(InvalidInputError):
    """The connection's secret lacks a field or is not a JSON object."""


class UnknownVersionError(InvalidInputError):
    """The vendor has no such data version, or the two do not make a pair."""


class BaseVersionGoneError(InvalidInputError):
    """The vendor no longer has the version that a delta would start from."""


class LandingNotWritableError(InvalidInputError):
    """The landing bucket refuses our writes."""


class SourceGoneError(InvalidInputError):
    """The object version that was to be sent is not there any more, or is another."""


class SourceNotReadableError(InvalidInputError):
    """S3 does not let us read the object that was to be sent: no right, its key, or it is archived."""


class DamagedSourceError(InvalidInputError):
    """The object that was to be sent is not what it should be: broken gzip, a line that is no JSON object."""


class SourceTooSlowError(InvalidInputError):
    """What was to be sent did not get through in one invocation's time: it was broken off, and nothing made of it."""


class RunNotFoundError(InvalidInputError):
    """The ledger has no such run, or it is not in a state that allows what was asked."""


class CredentialsRefusedError(PermanentError):
    """The vendor refuses the connection's credentials."""


class MissingCapabilityError(PermanentError):
    """The credentials are right, but may not do this."""


class QuotaExceededError(PermanentError):
    """The day's submissions are used up, ours by the ledger's count or the vendor's by its answer."""


class RequestRejectedError(PermanentError):
    """The vendor understood the request and turned it down."""


class LoadRefusedError(PermanentError):
    """The vendor refused to start a load, and said why: there is no job."""


class UnexpectedResponseError(PermanentError):
    """The vendor answered something its contract does not know."""


class UnsafeLinkError(PermanentError):
    """A link leads where a vendor's file cannot be: a private address, another scheme."""


class SubmissionInDoubtError(PermanentError):
    """A submission's reply was lost and the vendor never showed the job: it may or may not exist."""


class ExportFailedError(PermanentError):
    """The vendor gave up on the job."""


class LoadFailedError(PermanentError):
    """The vendor gave up on a load, or on every part of it."""


class PollingFailedError(PermanentError):
    """Too many polls in a row got no answer; the job itself may be fine."""


class DeadlineExceededError(PermanentError):
    """The job still runs and the run's time is up."""


class ResultExpiredError(PermanentError):
    """The vendor has deleted the result."""


class ResultByMailError(PermanentError):
    """The job is finished, and the vendor told the links of its result by mail alone."""


class RetypedColumnError(PermanentError):
    """A column changed its type and the pipeline asked to fail then."""


class BaseMovedError(PermanentError):
    """Another run published meanwhile, and a delta from the version before it no longer fits what readers have."""


class IncompleteDownloadError(PermanentError):
    """A planned file has no record of having landed."""


class DownloadTooSlowError(PermanentError):
    """A file does not come within one invocation's time, and the next one could not go on where it stopped."""


class RowCountError(PermanentError):
    """The files hold another number of rows than the vendor counted."""


class EmptyResultError(PermanentError):
    """The job succeeded, its result holds nothing, and the pipeline asked to fail then."""


class RunAbandonedError(PermanentError):
    """This attempt was given up by Abandon or replaced by a later attempt, and must not go on."""


class ExecutionLostError(PermanentError):
    """The execution ended without saying why: timed out, or failed where no Catch could see it."""


class CancelledError(PermanentError):
    """The execution was stopped from outside."""


def names_of(kind: type[HaulError]) -> list[str]:
    """Name `kind` and everything below it, the way ErrorEquals spells them."""
    return [kind.__name__, *(name for sub in kind.__subclasses__() for name in names_of(sub))]


def by_name(name: str, kind: type[HaulError] = HaulError) -> type[HaulError] | None:
    """Find the class whose name a record or a state machine kept."""
    if kind.__name__ == name:
        return kind
    return next((found for sub in kind.__subclasses__() if (found := by_name(name, sub))), None)
