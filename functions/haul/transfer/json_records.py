"""Counting JSON objects as they pass: one on each line, or one after another in an array.

Every object is parsed, with the standard library's C scanner, and dropped at once: it alone knows what JSON is. Memory
is that of one object, which may have 16 MiB: 450 MB once parsed, should it be nothing but brackets. JSON is UTF-8
(RFC 8259); a byte order mark is let pass, `NaN` and `Infinity` are not, for readers disagree about them.
"""

import codecs
import json
import re
from typing import Literal, NoReturn

from haul.errors import CorruptFileError, TruncatedFileError
from haul.models.export import Dataset
from haul.transfer.pages import is_markup, is_message, is_nothing_but_message
from haul.transfer.records import MAX_RECORD_BYTES

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_UNFINISHED = re.compile(
    r"""(?x) (?:
        "[^"\\]*+ (?: \\. [^"\\]*+ )*+ \\?      # a string without its end, or
        | u[0-9A-Fa-f]{0,4}                     # what is left of an escape in one,
        | t(?:ru?)? | f(?:a(?:ls?)?)? | nu?l?   # a word without its end,
        | - | \. | [eE][-+]?                    # a number without its end
    )? \Z""",
    re.DOTALL,
)
"""What the scanner stumbles over where the text ends too early."""


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
# Python refuses to make an int of more than 4,300 digits. Nobody needs it here, so the digits are as good.
_decode_long = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=len).raw_decode


class _BrokenError(Exception):
    """Not an object; `unfinished` if it may become one with more text."""

    def __init__(self, *, unfinished: bool = False) -> None:
        super().__init__()
        self.unfinished = unfinished


def _object_end(text: str, at: int) -> int:
    """Where the JSON object that begins at `at` ends.

    Raises:
        _BrokenError: there is none, or not all of it.
    """
    try:
        try:
            value, end = _decode(text, at)
        except json.JSONDecodeError:
            raise
        except ValueError:
            value, end = _decode_long(text, at)
    except json.JSONDecodeError as error:
        raise _BrokenError(unfinished=bool(_UNFINISHED.match(text, error.pos))) from None
    except (ValueError, RecursionError):
        # A constant that is none, or nested deeper than any reader goes.
        raise _BrokenError from None
    if not isinstance(value, dict):
        raise _BrokenError
    return end


class _Json:
    """What both shapes have in common."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        self.header: list[str] | None = None
        self.actions: dict[str, int] | None = None
        self.rows = 0
        self.verified = [dataset.format.type, "rows"]
        self._name = name
        self._bytes = 0

    def is_page(self, start: bytes, *, refused: bool) -> bool:
        return is_markup(start) or (is_message(start) if refused else is_nothing_but_message(start))


class JsonLines(_Json):
    """A JSON object on each line; blank lines are none, and the last needs no newline."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        super().__init__(name, dataset)
        self._lines = 0
        self._tail = b""

    def begin(self, start: bytes) -> None:
        if _first(start) not in {b"", b"{"}:
            raise CorruptFileError(f"{self._name}: its first line is not a JSON object")

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        data = self._tail + data if self._tail else data
        cut = data.rfind(b"\n") + 1
        self._tail = data[cut:]
        if cut:
            self._take(data[:cut])
        if len(self._tail) > MAX_RECORD_BYTES:
            raise CorruptFileError(f"{self._name}: line {self._lines + 1:,} is longer than {MAX_RECORD_BYTES:,} bytes")

    def finish(self) -> None:
        last, self._tail = self._tail, b""
        if not last:
            return
        try:
            line = self._text(last)
        except UnicodeDecodeError as error:
            self._refuse(1, unfinished=error.reason == "unexpected end of data")
        self._take_each(line)

    def _take(self, block: bytes) -> None:
        """Count a block of whole lines."""
        try:
            text = self._text(block)
        except UnicodeDecodeError as error:
            raise CorruptFileError(
                f"{self._name}: line {self._lines + 1 + block.count(b'\n', 0, error.start):,} is not UTF-8"
            ) from None
        lines = text.count("\n")
        if _objects(text) == lines:
            self.rows += lines
            self._lines += lines
        else:
            self._take_each(text)

    def _take_each(self, text: str) -> None:
        """Count lines one by one: where some are blank, padded or broken."""
        lines = text.split("\n")
        for ahead, line in enumerate(lines, 1):
            stripped = line.strip(" \t\r")
            if not stripped:
                continue
            try:
                end = _object_end(stripped, 0)
            except _BrokenError as error:
                self._refuse(ahead, unfinished=error.unfinished and ahead == len(lines))
            if end < len(stripped):
                self._refuse(ahead)
            self.rows += 1
        self._lines += len(lines) - 1

    def _text(self, block: bytes) -> str:
        text = (block if self._lines else block.removeprefix(_BOM)).decode()
        # A carriage return stands in no JSON string, and looking for it costs next to nothing.
        return text.replace("\r\n", "\n") if "\r" in text else text

    def _refuse(self, ahead: int, *, unfinished: bool = False) -> NoReturn:
        line = f"line {self._lines + ahead:,}"
        if unfinished:
            raise TruncatedFileError(f"{self._name} ended after {self._bytes:,} bytes, inside {line}")
        raise CorruptFileError(f"{self._name}: {line} is not one JSON object") from None


def _objects(text: str) -> int:
    """How many objects `text` has if each is alone on its line; any other number if not.

    An object over two lines, or two on one, leave fewer objects than newlines.
    """
    at = count = 0
    try:
        while at < len(text):
            value, at = _decode(text, at)
            if text[at] != "\n" or type(value) is not dict:
                return -1
            del value
            at += 1
            count += 1
    except (ValueError, RecursionError):
        return -1
    return count


type _Expected = Literal["array", "first", "object", "separator", "nothing"]

_STEPS: dict[tuple[_Expected, str], _Expected] = {
    ("array", "["): "first",
    ("first", "]"): "nothing",
    ("separator", ","): "object",
    ("separator", "]"): "nothing",
}


class JsonArray(_Json):
    """One array of objects, and nothing behind it."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        super().__init__(name, dataset)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._expected: _Expected = "array"
        self._rest = ""
        self._wanted = 0

    def begin(self, start: bytes) -> None:
        if not start:
            raise TruncatedFileError(f"{self._name} ended after 0 bytes")
        if _first(start) not in {b"", b"["}:
            self._refuse_character()

    def feed(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            self._rest += self._decoder.decode(data)
        except UnicodeDecodeError:
            raise CorruptFileError(f"{self._name}: {self._next} or one soon after it is not UTF-8") from None
        if len(self._rest) < self._wanted:
            return
        self._rest = self._take(self._rest)
        if len(self._rest) > MAX_RECORD_BYTES:
            raise CorruptFileError(f"{self._name}: {self._next} is longer than {MAX_RECORD_BYTES:,} characters")
        # An object that comes in many pieces is tried again when it has doubled, not at each of them.
        self._wanted = min(2 * len(self._rest), MAX_RECORD_BYTES + 1)

    def finish(self) -> None:
        try:
            last = self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            last = "\N{REPLACEMENT CHARACTER}"  # half of one: it may stand in a string, nowhere else
        self._rest = self._take(self._rest + last)
        if self._expected != "nothing":
            where = f"inside {self._next}" if self._rest else "before the end of its array"
            raise TruncatedFileError(f"{self._name} ended after {self._bytes:,} bytes, {where}")

    @property
    def _next(self) -> str:
        return f"object {self.rows + 1:,}"

    def _take(self, text: str) -> str:
        """Count what is whole in `text`; what is left begins with an object."""
        at = 0
        while (at := _past_space(text, at)) < len(text):
            if step := _STEPS.get((self._expected, text[at])):
                self._expected = step
                at += 1
            elif self._expected in {"first", "object"}:
                count, end = _objects_in_a_row(text, at)
                if not count:
                    count, end = 1, self._object_end(text, at)
                if not end:
                    break
                at = end
                self._expected = "separator"
                self.rows += count
            else:
                self._refuse_character()
        return text[at:]

    def _object_end(self, text: str, at: int) -> int:
        """Where the object at `at` ends, 0 if not all of it is there."""
        try:
            return _object_end(text, at)
        except _BrokenError as error:
            if error.unfinished and text[at] == "{":
                return 0
            raise CorruptFileError(f"{self._name}: {self._next} is not a JSON object") from None

    def _refuse_character(self) -> NoReturn:
        if self._expected == "array":
            raise CorruptFileError(f"{self._name} is not a JSON array")
        if self._expected == "separator":
            raise CorruptFileError(f"{self._name}: neither a comma nor the array's end follows object {self.rows:,}")
        raise CorruptFileError(f"{self._name} has something behind the end of its array")


def _objects_in_a_row(text: str, at: int) -> tuple[int, int]:
    """How many whole objects begin at `at`, with commas between them, and where the last of them ends."""
    count, end = 0, at
    try:
        while True:
            value, after = _decode(text, at)
            if type(value) is not dict:
                break
            del value
            count += 1
            end = after
            comma = _COMMA.match(text, end)
            if not comma:
                break
            at = comma.end()
    except (ValueError, RecursionError):
        pass
    return count, end


def _past_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _first(start: bytes) -> bytes:
    return start.removeprefix(_BOM).lstrip(b" \t\r\n")[:1]
