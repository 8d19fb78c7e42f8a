"""Reading a multipart form, as an import comes: fields, and parts that are files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser

from infra.local.vendors.server import Request


class FormError(ValueError):
    """A body that is no form of its kind."""


@dataclass(frozen=True)
class FilePart:
    """A part with a file's name. `headers` are the part's own."""

    name: str
    data: bytes
    headers: Message


@dataclass(frozen=True)
class Form:
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FilePart] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A field, whether it came as one or as a file."""
        if name in self.files:
            return self.files[name].data.decode("utf-8", "replace")
        return self.fields.get(name, "")


def multipart(request: Request) -> Form:
    """Read `multipart/form-data`.

    Raises:
        FormError: it is something else, or does not end.
    """
    boundary = request.headers.get_param("boundary")
    if request.headers.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise FormError("the body must be multipart/form-data")
    mark = b"--" + boundary.encode()
    first, *parts = (b"\r\n" + request.body).split(b"\r\n" + mark)
    if first or not parts or parts[-1].strip() != b"--":
        raise FormError("the multipart body does not begin or end as it should")
    fields: dict[str, str] = {}
    files: dict[str, FilePart] = {}
    for part in parts[:-1]:
        head, blank, data = part.partition(b"\r\n\r\n")
        headers = BytesParser().parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n", headersonly=True)
        name = headers.get_param("name", header="content-disposition")
        if not blank or not isinstance(name, str):
            raise FormError("a part of the multipart body has no name")
        file_name = headers.get_filename()
        if file_name is None:
            fields[name] = data.decode("utf-8", "replace")
        else:
            files[name] = FilePart(file_name, data, headers)
    return Form(fields, files)
