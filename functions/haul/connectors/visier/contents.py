"""What a finished export consists of, in our words: its tables as datasets of one schema each. Pure.

A full export has all columns of a table in its `-newColumns` files. A delta has the rows that changed in the columns
common to both versions, and apart from them every row of the columns that are new: two schemas, so two datasets.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from haul.connectors.visier.replies import ColumnSet, ExportColumn, ExportDetails, ExportFile, ExportTable
from haul.errors import RetypedColumnError, UnexpectedResponseError
from haul.models.export import Column, Contents, Dataset, RemoteFile

_GENERATED = ("_DiffAction_", "EventIndexOnDate")
_NEW_COLUMNS = "__new_columns"
_TYPES: dict[str, Literal["string", "bigint", "double", "boolean", "timestamp"]] = {
    "string": "string",
    "integer": "bigint",
    "number": "double",
    "date": "timestamp",
    "boolean": "boolean",
}
_PART = re.compile(r"_part(\d+)(?=\.|$)")

type _Change = Literal["full", "table-added", "rows", "rows-and-columns", "columns-added"]


def read(details: ExportDetails, *, retyped_column: Literal["warn", "fail"]) -> Contents:
    """List datasets and files of an export.

    Raises:
        RetypedColumnError: columns changed their types, and `retyped_column` is `fail`.
        UnexpectedResponseError: a table is there twice.
    """
    names = [table.name for table in details.tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnexpectedResponseError(f"Visier's export {details.uuid} lists a table twice: {', '.join(twice)}")
    reader = _Reader(details, taken=set(names))
    for table in details.tables:
        reader.add(table)
    if reader.retyped and retyped_column == "fail":
        raise RetypedColumnError(
            f"{'; '.join(reader.retyped)}. Nothing was downloaded, because options.retyped_column is fail: change what "
            "reads the column, then rerun with warn"
        )
    return Contents(
        datasets=reader.datasets,
        files=reader.files,
        tables_added=[] if reader.full else details.new_tables,
        tables_dropped=details.deleted_tables,
        evidence={"export-details": details.document},
        warnings=[*reader.retyped, *reader.warnings],
    )


@dataclass
class _Reader:
    details: ExportDetails
    taken: set[str]
    datasets: list[Dataset] = field(default_factory=list)
    files: list[RemoteFile] = field(default_factory=list)
    retyped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return not self.details.base_data_version_number

    def add(self, table: ExportTable) -> None:
        common, new = table.common_columns, table.new_columns
        deleted = table.deleted_columns
        if (self.full or table.name in self.details.new_tables) and not _holds(common):
            change: _Change = "full" if self.full else "table-added"
            self._dataset(table, table.name, new, columns_of="all", change=change, deleted=deleted)
            return
        self.retyped += [_retyped(table.name, column) for column in new.columns if column.name in deleted]
        if _holds(common) or deleted:
            change = "rows-and-columns" if _holds(new) or deleted else "rows"
            self._dataset(table, table.name, common, columns_of="common", change=change, deleted=deleted)
        if _holds(new):
            self._dataset(table, self._free_name(table.name), new, columns_of="new", change="columns-added")

    def _dataset(
        self,
        table: ExportTable,
        name: str,
        columns: ColumnSet,
        *,
        columns_of: Literal["all", "common", "new"],
        change: _Change,
        deleted: Sequence[str] = (),
    ) -> None:
        self.datasets.append(
            Dataset(
                name=name,
                table=table.name,
                columns_of=columns_of,
                change=change,
                primary_key=[column.name for column in columns.columns if _is_key(column)],
                columns=[self._column(table.name, column) for column in columns.columns],
                columns_deleted=list(deleted),
            )
        )
        self.files += self._named(name, columns.files)

    def _column(self, table: str, column: ExportColumn) -> Column:
        kind = _TYPES.get(column.data_type.lower())
        if kind is None:
            self.warnings.append(f'{table}.{column.name}: Visier type "{column.data_type}" is unknown; taken as text')
        sure = _is_key(column) or column.name in _GENERATED
        return Column(
            name=column.name,
            vendor_type=column.data_type,
            type=kind or "string",
            nullable=not sure if column.allows_null is None else column.allows_null,
            encoded_as="epoch-ms" if kind == "timestamp" else None,
            generated=column.name in _GENERATED,
        )

    def _named(self, dataset: str, files: Iterable[ExportFile]) -> Iterable[RemoteFile]:
        """Give each file a name of its own: Visier's, with the file's id where Visier repeats it."""
        used, seen = set[str](), set[int]()
        for place, file in enumerate(files):
            if file.file_id in seen:
                self.warnings.append(f"{dataset}: Visier lists file {file.file_id} twice; it is landed once")
                continue
            name = file.filename
            while name in used:
                stem, dot, suffix = name.partition(".")
                name = f"{stem}-{file.file_id}{dot}{suffix}"
            used.add(name)
            seen.add(file.file_id)
            part = _PART.search(file.filename)
            yield RemoteFile(
                dataset=dataset,
                name=name,
                part=int(part[1]) if part else place,
                vendor_file_id=file.file_id,
                vendor_name=file.filename,
            )

    def _free_name(self, table: str) -> str:
        """A name for a table's new columns that no table has."""
        name = table + _NEW_COLUMNS
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _holds(columns: ColumnSet) -> bool:
    return bool(columns.columns or columns.files)


def _is_key(column: ExportColumn) -> bool:
    return column.is_primary_key_component or column.name == "EventIndexOnDate"


def _retyped(table: str, column: ExportColumn) -> str:
    return (
        f"{table}.{column.name} changed its type and is now {column.data_type or 'of none'}: "
        f"the old column is deleted, the new one is in {table}{_NEW_COLUMNS}"
    )
