"""Visier's management calls as operations: what each answers, what became of its parts, and what it would change."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from haul.connectors.visier.management import VisierManagement
from haul.connectors.visier.management_replies import Credential, Done, Results, TenantUploads, TenantVersions
from haul.models.event import Outcome
from haul.models.vendors.visier.operations import (
    AssignCredential,
    ChooseUploads,
    CreateCredential,
    DeleteCredential,
    DisableVersions,
    OfTenants,
    OfUploads,
    OfVersions,
)
from haul.operations import Call, CallWithCredential
from haul.ports import Answer, ReadCredential

_SHOWN = 10


class ManagementOperations:
    """The operations of one connection."""

    def __init__(self, management: VisierManagement) -> None:
        self._management = management

    @property
    def calls(self) -> Mapping[str, Call]:
        return {
            "list-tenant-data-versions": self._list_versions,
            "disable-data-versions": self._disable,
            "list-uploads": self._list_uploads,
            "include-uploads": lambda given: self._choose("include", given),
            "exclude-uploads": lambda given: self._choose("exclude", given),
            "list-connectors": self._list_connectors,
            "list-credentials": self._list_credentials,
            "delete-credential": self._delete_credential,
            "assign-credentials": self._assign,
        }

    @property
    def calls_with_credential(self) -> Mapping[str, CallWithCredential]:
        return {"create-credential": self._create_credential}

    @property
    def previews(self) -> Mapping[str, Callable[[Any], str]]:
        return {
            "disable-data-versions": self._before_disabling,
            "include-uploads": lambda given: self._before_choosing("Includes", given),
            "exclude-uploads": lambda given: self._before_choosing("Excludes", given),
            "create-credential": self._before_creating,
            "delete-credential": self._before_deleting,
            "assign-credentials": self._before_assigning,
        }

    # Data versions

    def _list_versions(self, given: OfVersions) -> Answer:
        tenants = self._management.versions(given.tenant, number=given.number, category=given.category)
        rows = [
            {"tenant": tenant.tenant, "dataVersion": version.data_version, "dataVersionDate": version.data_version_date}
            for tenant in tenants
            for version in tenant.newest_first
        ]
        return Answer({"tenants": [tenant.document for tenant in tenants]}, rows=rows)

    def _disable(self, given: DisableVersions) -> Answer:
        category = {"dataCategory": given.category} if given.category else {}
        chosen = [
            {"tenantCode": tenant, **({"dataVersion": version} if version else {}), **category}
            for tenant in dict.fromkeys(given.tenant)
            for version in dict.fromkeys(given.version or [""])
        ]
        return _judged(self._management.disable(chosen), of=len(chosen))

    def _before_disabling(self, given: DisableVersions) -> str:
        wanted = list(dict.fromkeys(given.tenant))
        listed = self._management.versions(wanted if len(wanted) <= _SHOWN else (), category=given.category)
        known = {tenant.tenant: tenant for tenant in listed}
        lines = [_disabling(name, given.version, known.get(name, TenantVersions())) for name in wanted]
        number = len(wanted) * max(1, len(set(given.version)))
        return _told(f"Disables {_counted(number, 'data version')} in production", lines)

    # Uploads

    def _list_uploads(self, given: OfUploads) -> Answer:
        tenants = self._management.uploads(given.tenant, number=given.number, job=given.job)
        rows = [
            {"tenant": tenant.tenant, "uploadTime": upload.upload_time, "included": upload.included}
            for tenant in tenants
            for upload in tenant.uploads
        ]
        return Answer({"tenants": [tenant.document for tenant in tenants]}, rows=rows)

    def _choose(self, what: Literal["include", "exclude"], given: ChooseUploads) -> Answer:
        times = list(dict.fromkeys(given.upload_time))
        tenants = list(dict.fromkeys(given.tenant))
        which: dict[str, Any] = {
            "uploadTimes": times,
            f"{what}All": given.all,
            "minUploadTime": given.min_upload_time,
            "maxUploadTime": given.max_upload_time,
            "sources": given.source,
            "fileNameRegex": given.file_name_regex,
            "fileIdentifiers": given.file_identifier,
        }
        sent = {name: value for name, value in which.items() if value}
        uploads = [{"tenantCode": tenant, **sent} for tenant in tenants]
        # How many a span of time or `all` comes to, Visier alone knows.
        return _judged(self._management.choose_uploads(what, uploads), of=len(times) * len(tenants))

    def _before_choosing(self, does: str, given: ChooseUploads) -> str:
        wanted = list(dict.fromkeys(given.tenant))
        if not given.upload_time:
            span = " ".join(
                f"{word} {time}"
                for word, time in (("from", given.min_upload_time), ("up to", given.max_upload_time))
                if time
            )
            only = given.source or given.file_name_regex or given.file_identifier
            kept = ", of the sources and files that were named" if only else ""
            return _told(f"{does} every upload{f' {span}' if span else ''}{kept} of", wanted)
        listed = self._management.uploads(wanted if len(wanted) <= _SHOWN else ())
        known = {tenant.tenant: tenant for tenant in listed}
        times = list(dict.fromkeys(given.upload_time))
        lines = [
            f"{name} {time} ({_stands(known.get(name, TenantUploads()), time)})" for name in wanted for time in times
        ]
        return _told(f"{does} {_counted(len(lines), 'upload')}", lines)

    # Connectors and credentials

    def _list_connectors(self, given: OfTenants) -> Answer:
        found = [
            {**_of(tenant), **connector.document}
            for tenant in given.tenant or (None,)
            for connector in self._management.connectors(tenant)
        ]
        return Answer({"dataConnectors": found})

    def _list_credentials(self, given: OfTenants) -> Answer:
        """Only what is known to be none of a credential's content: the vendor may add fields."""
        found = [
            {**_of(tenant), **credential.model_dump(by_alias=True)}
            for tenant in given.tenant or (None,)
            for credential in self._management.credentials(tenant)
        ]
        return Answer({"connectorCredentials": found})

    def _create_credential(self, given: CreateCredential, read_credential: ReadCredential) -> Answer:
        made = self._management.create_credential(
            read_credential(given.secret), name=given.name, description=given.description, tenant=given.tenant
        )
        document = {"uuid": made.uuid, "symbolName": made.symbol_name, "objectName": made.object_name}
        if not made.missing_connection_properties:
            return Answer(document)
        lacking = f"credential {made.uuid} was made, and lacks connection properties that Visier does not let us set"
        return Answer(document, Outcome.PARTIAL, [lacking])

    def _before_creating(self, given: CreateCredential) -> str:
        there = [
            credential.credential_id
            for credential in self._management.credentials(given.tenant)
            if credential.display_name == given.name
        ]
        twin = f" There is one of that name already: {', '.join(there)}." if there else ""
        tenant = given.tenant or "the connection's own tenant"
        return f"Creates credential {given.name} of {tenant}, out of the secret {given.secret}.{twin}"

    def _delete_credential(self, given: DeleteCredential) -> Answer:
        self._management.delete_credential(given.credential, tenant=given.tenant)
        return Answer({"deleted": given.credential})

    def _before_deleting(self, given: DeleteCredential) -> str:
        found = next(
            (each for each in self._management.credentials(given.tenant) if each.credential_id == given.credential),
            None,
        )
        users = [
            each.display_name or each.connector_id
            for each in self._management.connectors(given.tenant)
            if each.credential_id == given.credential
        ]
        used = f"Connectors use it: {', '.join(users)}." if users else "No connector uses it."
        tenant = given.tenant or "the connection's own tenant"
        return f"Deletes credential {_credential(given.credential, found)} of {tenant}. {used}"

    def _assign(self, given: AssignCredential) -> Answer:
        tenants = list(dict.fromkeys(given.tenant))
        return _judged(self._management.assign(given.connector, given.credential, tenants), of=len(tenants))

    def _before_assigning(self, given: AssignCredential) -> str:
        lines = []
        wanted = list(dict.fromkeys(given.tenant))
        for tenant in wanted[:_SHOWN]:
            connectors = self._management.connectors(tenant)
            found = next((each for each in connectors if each.connector_id == given.connector), None)
            if found is None:
                lines.append(f"{tenant} (has no such connector)")
                continue
            lines.append(f"{tenant} {found.display_name} (now: {found.credential_id or 'none'})")
        known = next(
            (each for each in self._management.credentials(wanted[0]) if each.credential_id == given.credential), None
        )
        what = f"Gives connector {given.connector} the credential {_credential(given.credential, known)}, of"
        return _told(what, [*lines, *wanted[_SHOWN:]])


def _judged(results: Results, *, of: int) -> Answer:
    """Count what failed: by the results, by Visier's own totals, and what it tells nothing of."""
    failed = [_failure(done) for done in results.each if not done.succeeded]
    succeeded = max(results.total_success, sum(done.succeeded for done in results.each))
    untold = max(results.total_failures - len(failed), 0)
    silent = max(of - succeeded - len(failed) - untold, 0)
    if untold:
        failed.append(f"{untold} more failed, by Visier's own count")
    if silent:
        failed.append(f"of {silent} Visier tells nothing")
    outcome = Outcome.SUCCEEDED if not failed else Outcome.PARTIAL if succeeded else Outcome.FAILED
    rows = [done.document for done in results.each if "connectors" not in done.document]
    return Answer(results.document, outcome, failed, rows=rows or None)


def _failure(done: Done) -> str:
    what = " ".join(word for word in (done.tenant, done.data_version, done.upload_time) if word) or "one"
    return f"{what}: {done.message or done.status or 'failed'}"


def _disabling(name: str, versions: Sequence[str], tenant: TenantVersions) -> str:
    """Which version goes, and what readers see then. Visier lists a tenant's five newest."""
    listed = tenant.newest_first
    if not listed:
        return f"{name} {' '.join(versions)} (no enabled data version is listed)".replace("  ", " ")
    newest = listed[0].data_version
    chosen = list(dict.fromkeys(versions)) or [newest]
    days = {version.data_version: version.day for version in listed}
    told = ", ".join(f"{number} ({days.get(number, 'not among its five newest')})" for number in chosen)
    if newest not in chosen:
        return f"{name} {told}. Readers stay at {newest}."
    left = next((version.data_version for version in listed if version.data_version not in chosen), None)
    falls = f"Readers fall back to {left}." if left else "No older one is listed for readers to fall back to."
    return f"{name} {told}, its latest. {falls}"


def _stands(tenant: TenantUploads, time: str) -> str:
    found = next((upload for upload in tenant.uploads if upload.upload_time == time), None)
    if found is None:
        return "not among its five newest"
    return "included now" if found.included else "not included now"


def _credential(credential: str, found: Credential | None) -> str:
    if found is None:
        return f"{credential} (not listed)"
    return f"{found.display_name} ({found.data_provider}, {credential})"


def _of(tenant: str | None) -> dict[str, str]:
    return {"tenantCode": tenant} if tenant else {}


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _told(what: str, lines: Sequence[str]) -> str:
    """One thing in one line, several below each other; of many only the first."""
    if len(lines) == 1:
        return f"{what} {lines[0]}." if what.endswith(" of") else f"{what}: {lines[0]}"
    return "\n".join([f"{what}:", *(f"  {line}" for line in _first(lines))])


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {len(lines) - _SHOWN:,} more"
