"""What is known of a file that has landed."""

from typing import Literal

from haul.models.base import Document


class Checksum(Document):
    """A checksum that S3 verified, base64 as S3 gives it."""

    algorithm: Literal["CRC64NVME"] = "CRC64NVME"
    value: str
    type: Literal["FULL_OBJECT"] = "FULL_OBJECT"


class LandedFile(Document):
    """A file in the landing bucket, checked: all sizes in bytes.

    `rows` leaves the header out; `row_actions` counts rows by Visier's `_DiffAction_`, where there is one;
    `header` is the CSV header as it came; `verified` names the checks that were made.
    """

    uri: str
    version_id: str | None = None
    bytes: int
    bytes_uncompressed: int | None = None
    compression: Literal["gzip", "none"] = "gzip"
    rows: int | None = None
    row_actions: dict[str, int] | None = None
    header: list[str] | None = None
    checksum: Checksum
    sha256: str | None = None
    verified: list[str]
