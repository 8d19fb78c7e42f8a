"""The items of the demo community: attendees, the same ones each time, and sessions, of which there are none.

Names are the most frequent of the US census of 1990, which is in the public domain; some are made awkward on purpose.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

type Value = str | int | None
type Item = Mapping[str, Value]

KEY = "id"
FIELDS: Mapping[str, Sequence[str]] = {
    "Attendee": (
        KEY,
        "firstName",
        "lastName",
        "email",
        "company",
        "processStatus",
        "registeredOn",
        "sessions",
        "userId",
        "note",
    ),
    "Session": (KEY, "title", "room", "startsAt"),
}
"""The fields of each item type that the community knows."""

_FIRST = (
    "James", "John", "Robert", "Michael", "William", "David", "Richard", "Charles", "Joseph", "Thomas",
    "Mary", "Patricia", "Linda", "Barbara", "Elizabeth", "Jennifer", "Maria", "Susan", "Margaret", "Dorothy",
)  # fmt: skip
_LAST = (
    "Smith", "Johnson", "Williams", "Jones", "Brown", "Davis", "Miller", "Wilson", "Moore", "Taylor", "Anderson",
    "Thomas", "Jackson", "White", "Harris", "Martin", "Thompson", "Garcia", "Martinez", "Robinson", "O'Brien", "Núñez",
)  # fmt: skip
_COMPANIES = ("Acme", "Globex, Inc.", "Initech", "Müller & Söhne", 'The "Best" Company')
_STATUSES = ("Editing", "Submitted", "Approved")
_OPENED = datetime(2015, 5, 1, 8, tzinfo=UTC)


class QueryError(ValueError):
    """A query that cannot be run."""


def attendees(count: int) -> Iterator[Item]:
    return map(attendee, range(count))


def attendee(number: int) -> Item:
    """One attendee; the same number is the same person."""
    first, last = _FIRST[number % len(_FIRST)], _LAST[number * 7 % len(_LAST)]
    return {
        KEY: f"A{number:07}",
        "firstName": first,
        "lastName": last,
        "email": f"attendee{number}@example.com",
        "company": _COMPANIES[number % len(_COMPANIES)],
        "processStatus": f"/Workflow/processStatus[{_STATUSES[number % len(_STATUSES)]}]",
        "registeredOn": (_OPENED + timedelta(minutes=11 * number)).isoformat(),
        "sessions": number % 5,
        "userId": f"u{number % 40}",
        "note": f'No nuts, please.\r\n{last} said: "thanks"' if number % 25 == 3 else None,
    }


def queried(query: str, items: Mapping[str, Sequence[Item]]) -> tuple[Sequence[str], list[Item]]:
    """Run a SELECT over the items, each type a table.

    Returns:
        The names of the columns, and the rows.

    Raises:
        QueryError: it is not SQL, or more than a SELECT.
    """
    with closing(sqlite3.connect(":memory:")) as base:
        for item_type, rows in items.items():
            names = FIELDS[item_type]
            columns = ", ".join(f'"{name}"' for name in names)
            base.execute(f'CREATE TABLE "{item_type}" ({columns})')
            places = ", ".join("?" * len(names))
            values = ([row.get(name) for name in names] for row in rows)
            base.executemany(f'INSERT INTO "{item_type}" VALUES ({places})', values)  # noqa: S608 - names of our own
        base.commit()
        base.set_authorizer(_may_only_read)
        try:
            cursor = base.execute(query)
            rows = [*cursor]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise QueryError(str(error)) from None
    if cursor.description is None:
        raise QueryError("not a SELECT")
    names = [column[0] for column in cursor.description]
    return names, [dict(zip(names, row, strict=True)) for row in rows]


def _may_only_read(action: int, *_: object) -> int:
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
