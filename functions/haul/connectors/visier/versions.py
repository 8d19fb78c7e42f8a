"""Which data versions a request means: symbols resolved, pairs checked. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from haul.connectors.visier.replies import DataVersion
from haul.errors import BaseVersionGoneError, InvalidEventError, UnknownVersionError
from haul.models.symbols import is_symbol
from haul.models.work import Watermark
from haul.ports import Known, Prepared

_VERSION = "dataVersionNumber"
_BASE = "baseDataVersionNumber"
_SHOWN = 3


def prepare(
    request: Mapping[str, Any],
    versions: Sequence[DataVersion],
    known: Known,
    *,
    first_run: Literal["full", "fail"],
    base_gone: Literal["full", "fail"],
) -> Prepared:
    """Turn a request into one with plain numbers, or say that there is nothing new.

    Raises:
        InvalidEventError: a symbol that is not for this field, or a first run that must not be full.
        UnknownVersionError: a version that is not listed, or a base that is not older.
        BaseVersionGoneError: the base has left the list.
    """
    wanted, base = request.get(_VERSION), request.get(_BASE) or None
    if base == "@last-published" and known.last_version is None and first_run == "fail":
        raise InvalidEventError(
            f"request.{_BASE}: @last-published has no meaning yet, as this pipeline has published nothing, and "
            'options.first_run is "fail". Run a full export first (without a base), name a base, or set first_run: full'
        )
    version = _wanted(wanted, versions)
    to = Watermark(to=version.data_version, to_created_at=version.created)
    full = {_VERSION: version.data_version}
    if wanted == "@latest" and known.last_version is not None:
        stale = _nothing_new(version, versions, known)
        if stale is not None:
            text, warnings = stale
            return Prepared(request=full, watermark=to, nothing_new=text, warnings=warnings)
    from_ = known.last_version if base == "@last-published" else _plain(base, _BASE)
    if from_ is None:
        return Prepared(request=full, watermark=to)
    if base == "@last-published" and from_ == version.data_version:
        return Prepared(request=full, watermark=to, nothing_new=f"data version {from_} is what was published last")
    found = _listed(from_, versions)
    if found is None:
        warning = _gone(from_, base, versions, base_gone=base_gone)
        return Prepared(request=full, watermark=to, warnings=[warning])
    if found.age >= version.age:
        raise UnknownVersionError(
            f"request.{_BASE}: {_shown(found)} is not older than {_VERSION} {_shown(version)}; a base must be older"
        )
    return Prepared(
        request={**full, _BASE: from_},
        is_delta=True,
        watermark=to.model_copy(update={"from_": from_}),
    )


def _wanted(wanted: str | None, versions: Sequence[DataVersion]) -> DataVersion:
    if wanted == "@latest":
        candidates = [version for version in versions if version.data_category == ""]
        if not candidates:
            raise UnknownVersionError(
                f"request.{_VERSION}: @latest: Visier lists no data version of the default category"
            )
        return max(candidates, key=lambda version: version.age)
    number = _plain(wanted, _VERSION)
    if number is None:
        raise InvalidEventError(f'request.{_VERSION}: missing; a number in quotes, or "@latest"')
    found = _listed(number, versions)
    if found is None:
        raise UnknownVersionError(f'request.{_VERSION}: Visier has no data version "{number}"; {_newest(versions)}')
    return found


def _nothing_new(version: DataVersion, versions: Sequence[DataVersion], known: Known) -> tuple[str, list[str]] | None:
    """Compare the newest version with the one published last.

    Returns:
        Why there is nothing to do, with warnings; None if the version is newer.
    """
    last = known.last_version or ""
    if version.data_version == last:
        return f"data version {last} is the newest, and published already", []
    listed = _listed(last, versions)
    last_created = listed.created if listed else known.last_version_created_at
    if not _older(version, last, last_created):
        return None
    text = f"the newest data version is {_shown(version)}, older than {last}, which is published"
    return text, [f"{text}: has Visier withdrawn a version?"]


def _older(version: DataVersion, last: str, last_created: datetime | None) -> bool:
    if last_created and version.created:
        # What was kept of a time is kept to the second.
        made, kept = version.created.replace(microsecond=0), last_created.replace(microsecond=0)
        if made != kept:
            return made < kept
    return last.isdecimal() and int(version.data_version) < int(last)


def _gone(from_: str, base: str | None, versions: Sequence[DataVersion], *, base_gone: Literal["full", "fail"]) -> str:
    """Decide what to do without the base: returns the warning of the full export that replaces the delta."""
    # Versions leave the list from its old end. A number that is missing in its middle never was one.
    left_the_list = base == "@last-published" or int(from_) < min(
        (int(version.data_version) for version in versions), default=0
    )
    if not left_the_list:
        raise UnknownVersionError(f'request.{_BASE}: Visier has no data version "{from_}"; {_newest(versions)}')
    what = f"request.{_BASE}: Visier no longer lists data version {from_}"
    if base_gone == "fail":
        raise BaseVersionGoneError(
            f"{what}, so no delta can start there; {_newest(versions)}. "
            "Run a full export, or set options.base_gone: full"
        )
    return f"{what}: exported in full"


def _plain(number: str | None, field: str) -> str | None:
    if number is None or number == "":
        return None
    if is_symbol(number):
        raise InvalidEventError(f"request.{field}: {number} is not understood here")
    if not (isinstance(number, str) and number.isdecimal()):
        raise InvalidEventError(f"request.{field}: a data version is a number in quotes, or a symbol")
    return number


def _listed(number: str, versions: Sequence[DataVersion]) -> DataVersion | None:
    return next((version for version in versions if version.data_version == number), None)


def _newest(versions: Sequence[DataVersion]) -> str:
    newest = sorted(versions, key=lambda version: version.age, reverse=True)[:_SHOWN]
    if not newest:
        return "it lists none at all"
    return f"the newest are {', '.join(map(_shown, newest))}"


def _shown(version: DataVersion) -> str:
    if version.created is None:
        return version.data_version
    return f"{version.data_version} (created {version.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"
