"""Reading Thrift's compact protocol: the little of it that a Parquet footer takes."""

from collections.abc import Iterator

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(1, 14)
_FIXED = {_TRUE: 0, _FALSE: 0, _BYTE: 1, _DOUBLE: 8, _UUID: 16}
_INTEGERS = {_I16, _I32, _I64}
_DEEPEST = 32


class CompactReader:
    """Reads where `at` stands. Whatever the data, it ends: every field and item takes at least a byte.

    Raises:
        ValueError: something is there that should not be.
        IndexError: the data ended.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and kind of each field of a struct; whoever asks reads or skips it before the next."""
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self._signed()
            yield number, head & 15

    def struct(self, kind: int) -> Iterator[tuple[int, int]]:
        _expect(kind == _STRUCT)
        return self.fields()

    def structs(self, kind: int) -> Iterator[None]:
        """Once for each struct of a list, to be read before the next."""
        _expect(kind == _LIST)
        of, count = self._list()
        _expect(of == _STRUCT or not count)
        for _ in range(count):
            yield

    def integer(self, kind: int) -> int:
        _expect(kind in _INTEGERS)
        return self._signed()

    def binary(self, kind: int) -> bytes:
        _expect(kind == _BINARY)
        length = self._varint()
        self._pass(length)
        return self._data[self.at - length : self.at]

    def skip(self, kind: int, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise ValueError("it nests too deep")
        if kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT:
            for _, of in self.fields():
                self.skip(of, depth + 1)
        elif kind in {_LIST, _SET}:
            of, count = self._list()
            self._skip_items(count, [of], depth)
        elif kind == _MAP:
            if count := self._varint():
                of = self._byte()
                self._skip_items(count, [of >> 4, of & 15], depth)
        else:
            _expect(kind in _FIXED)
            self._pass(_FIXED[kind])

    def _skip_items(self, count: int, kinds: list[int], depth: int) -> None:
        # A boolean stands in the head of a field, but is a byte of its own in a list.
        kinds = [_BYTE if kind in {_TRUE, _FALSE} else kind for kind in kinds]
        for _ in range(count):
            for kind in kinds:
                self.skip(kind, depth + 1)

    def _list(self) -> tuple[int, int]:
        """Kind and number of a list's items."""
        head = self._byte()
        count = head >> 4
        return head & 15, self._varint() if count == 15 else count

    def _signed(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("it has a number that is too long")
        return value | byte << shift

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError


def _expect(holds: bool) -> None:  # noqa: FBT001  # reads as the assertion that it is
    if not holds:
        raise ValueError("it has a field of another kind than it should")
