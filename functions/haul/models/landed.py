"""What is known of a file that has landed."""

from typing import Literal

from haul.models.base import Document


class Checksum(Document):
    """A checksum that S3 verified, base64 as S3 gives it."""

    algorithm: Literal["CRC64NVME"] = "CRC64NVME"
    value: str
    type: Literal["FULL_OBJECT"] = "FULL_OBJECT"


class Progress(Document):
    """What the next invocation needs to go on with a file: no link, and none of its bytes.

    Which parts there are S3 itself tells, whenever a function was killed. `checksum` is the whole object's, noted
    before the upload is completed: by it and `bytes` a completion is found whose reply was lost. `validator` is the
    vendor's word (ETag or Last-Modified) for these very bytes; without it the file starts over. `length_told` says that
    somebody told `bytes` beforehand, `done` how many were in safety when an invocation's time ended.
    """

    upload_id: str
    key: str
    compression: Literal["gzip", "none"]
    part_bytes: int
    bytes: int | None = None
    validator: str | None = None
    checksum: str | None = None
    length_told: bool = True
    done: int = 0


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
