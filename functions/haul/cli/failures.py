"""What a command ends with: its exit status, and for what was to be expected one sentence in place of a traceback.

0  good                 3  nothing new
1  failed               4  partial
2  usage                5  refused: the vendor's quota
"""

from dataclasses import dataclass
from enum import IntEnum

from botocore import exceptions as aws

from haul.errors import HaulError, InvalidEventError, QuotaExceededError, RunNotFoundError, TransientError
from haul.ports import UnclearError


class Exit(IntEnum):
    """Exit statuses that scripts rely on."""

    GOOD = 0
    FAILED = 1
    USAGE = 2
    NOTHING_NEW = 3
    PARTIAL = 4
    REFUSED = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot do what was asked; `hint` says what to do about it."""

    def __init__(self, message: str, *, exit_code: int = Exit.FAILED, hint: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint


EXPECTED = (CommandError, HaulError, UnclearError, aws.BotoCoreError, aws.ClientError)
"""What `explain` has words for."""

PASSING = (TransientError, UnclearError, aws.HTTPClientError, aws.ConnectionError)
"""What may be over in a moment; whoever watches for hours waits for that."""


@dataclass(frozen=True)
class Explained:
    """An error that a person can do something about."""

    name: str
    message: str
    exit_code: int
    hint: str | None = None


def explain(error: Exception) -> Explained:
    """Put an expected error in words."""
    name = type(error).__name__
    match error:
        case CommandError():
            return Explained(name, str(error), error.exit_code, error.hint)
        case QuotaExceededError():
            return Explained(name, str(error), Exit.REFUSED)
        case InvalidEventError() | RunNotFoundError():
            return Explained(name, str(error), Exit.USAGE)
        case HaulError():
            return Explained(name, str(error), Exit.FAILED)
        case UnclearError():
            return Explained(name, f"S3 does not answer: {error}", Exit.FAILED, "Try again.")
        case _:
            return _explain_aws(error)


_CREDENTIALS = "Log in (aws sso login), or set AWS_PROFILE; aws sts get-caller-identity says who you are."
_AWS_CODES = {
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "AccessDenied": "docs/cli.md lists the rights that each command needs.",
    "AccessDeniedException": "docs/cli.md lists the rights that each command needs.",
    "ThrottlingException": "AWS wants fewer calls: try again in a minute.",
    "TooManyRequestsException": "AWS wants fewer calls: try again in a minute.",
    "SlowDown": "AWS wants fewer calls: try again in a minute.",
    "NoSuchBucket": "The landing bucket is gone: has the stack been destroyed?",
}


def _explain_aws(error: Exception) -> Explained:
    name = type(error).__name__
    if isinstance(error, aws.NoRegionError | aws.InvalidRegionError):
        message = "no AWS region is set" if isinstance(error, aws.NoRegionError) else str(error)
        hint = "Set AWS_REGION, or name a profile that has one with AWS_PROFILE."
        return Explained(name, message, Exit.FAILED, hint)
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.ProfileNotFound):
        return Explained(name, f"no AWS credentials: {error}", Exit.FAILED, _CREDENTIALS)
    if isinstance(error, aws.HTTPClientError | aws.ConnectionError):
        return Explained(name, f"AWS cannot be reached: {error}", Exit.FAILED, "Is AWS_ENDPOINT_URL right, if set?")
    if isinstance(error, aws.ClientError):
        said = error.response["Error"]
        code = said.get("Code", "an error")
        message = f"{error.operation_name}: AWS answers {code}: {said.get('Message', '')}".rstrip(": ")
        return Explained(code, message, Exit.FAILED, _AWS_CODES.get(code))
    return Explained(name, str(error), Exit.FAILED, _CREDENTIALS)
