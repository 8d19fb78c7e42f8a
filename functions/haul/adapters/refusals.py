"""What S3 refuses for good, and what to look at then: the ledger and the landing meet the same bucket."""

from botocore.exceptions import ClientError

from haul.errors import LandingNotWritableError

_REFUSED = {
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}
_NO_BUCKET = {"NoSuchBucket", "PermanentRedirect", "IllegalLocationConstraintException"}


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def status_of(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def refusal(error: ClientError, bucket: str, key: str) -> LandingNotWritableError | None:
    """Say which bucket refuses us and what to check, None where another try may go better."""
    code = code_of(error)
    advice = _advice(code, status_of(error))
    if advice is None:
        return None
    where = f"s3://{bucket}/{key.rpartition('/')[0]}/"
    return LandingNotWritableError(f"{where} cannot be written ({code}): check {advice}")


def _advice(code: str, status: int) -> str | None:
    if code in _NO_BUCKET:
        return "that the bucket exists, in this account and region"
    if code.startswith("KMS"):
        if "Throttling" in code:
            return None
        return (
            "that the bucket's KMS key is enabled, and that this role may kms:GenerateDataKey and kms:Decrypt with it"
        )
    if code in _REFUSED or status == 403:
        return "that this role may s3:PutObject and s3:GetObject there, the bucket's policy, and its KMS key"
    return None
