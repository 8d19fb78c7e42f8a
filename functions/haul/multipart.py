"""A form with files in it (RFC 7578), sent as it is read: its length is known, its bytes never are in memory at once.

A part's head is urllib3's, so names are spelt as browsers spell them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from urllib3.fields import RequestField
from urllib3.filepost import choose_boundary

from haul.errors import SourceGoneError
from haul.ports import Source

_PIECE = 64 << 10
"""A piece is written within one socket timeout: with larger ones a slow line would look like a dead one."""


@dataclass(frozen=True)
class TextSource:
    """A file that is short enough to be here, such as a template."""

    name: str
    text: str = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.text.encode())

    def chunks(self) -> Iterator[bytes]:
        yield self.text.encode()


@dataclass(frozen=True)
class File:
    """A part that is a file. `headers` are the part's own, besides those that every part has."""

    source: Source
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


type Part = tuple[str, str | File]
"""A field's name, and its text or file."""


class Multipart:
    """A body for `Rest.call`, the parts in the order given. It can be sent again: its files are then read anew.

    Attributes:
        content_type: the header that says where parts end.
        sent_whole: its last byte has been handed over. As long as it has not, no server can have had the form.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        boundary = choose_boundary()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.sent_whole = False
        self._parts = [(_head(boundary, name, content), content) for name, content in parts]
        self._end = f"--{boundary}--\r\n".encode()
        self._length = sum(len(head) + _size(content) + 2 for head, content in self._parts) + len(self._end)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Read it from its begin.

        Raises:
            SourceGoneError: a file is longer or shorter than it said: nothing was sent whole.
        """
        self.sent_whole = False
        for head, content in self._parts:
            yield head
            if isinstance(content, File):
                yield from _pieces(content.source)
            else:
                yield content.encode()
            yield b"\r\n"
        self.sent_whole = True  # before the last piece: whoever has that does not come back for another
        yield self._end


def _head(boundary: str, name: str, content: str | File) -> bytes:
    if isinstance(content, File):
        part = RequestField(name, b"", content.source.name, content.headers)
        part.make_multipart(content_type=content.content_type)
    else:
        part = RequestField(name, b"")
        part.make_multipart()
    return f"--{boundary}\r\n{part.render_headers()}".encode()


def _size(content: str | File) -> int:
    return content.source.size if isinstance(content, File) else len(content.encode())


def _pieces(source: Source) -> Iterator[bytes]:
    left = source.size
    for chunk in source.chunks():
        left -= len(chunk)
        if left < 0:
            break
        for at in range(0, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]
    if left:
        raise SourceGoneError(f"{source.name} is not as long as it was when it was looked at: nothing was sent whole")
