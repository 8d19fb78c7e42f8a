"""What the simulated Visier answers at once: data versions, uploads, connectors and credentials of its tenants.

    GET    /v1/op/data-versions                         PUT /v1/op/data-versions/disable
    GET    /v1/op/data/uploads                          PUT /v1/op/data/uploads/include and .../exclude
    GET    /v1/op/data-connectors                       POST /v1/op/data-connectors/assignCredentials
    GET    /v1/op/data-connector-credentials            POST the same
    DELETE /v1/op/data-connector-credentials/{credentialId}

A write is taken as a form field `model`, as JSON {"model": ...}, and as bare JSON.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from infra.local.vendors.server import Reply, Request
from infra.local.vendors.simulator import json_reply
from infra.local.vendors.visier.jobs import ADMINISTRATING as OWN
from infra.local.vendors.visier.jobs import RefusedError

_API = "/v1/op"
_MOST = 1000
_CONNECTOR = "5f6ac4e0-3a1b-4f0e-9d0b-2a7f0c1d9e11"
_CREDENTIAL = "0c7d2a55-8a34-4b1e-b7a0-6a0d5b9f4c22"


@dataclass
class Credential:
    """`content` is what a client sent to be kept; no answer shows it."""

    uuid: str
    name: str
    provider: str
    content: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Connector:
    uuid: str
    name: str
    credential: str = ""


@dataclass
class Tenant:
    """`versions` are the enabled ones with their dates, `uploads` the times with whether they are included."""

    code: str
    versions: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bool] = field(default_factory=dict)
    connectors: list[Connector] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)

    @property
    def newest_version(self) -> str | None:
        return max(self.versions, key=int, default=None)


class Management:
    """The tenants, and what their users did to them.

    `spelling` is the name that the list of data versions has for a tenant; `cut_at` ends every list there, with 206.
    """

    def __init__(self, *, spelling: str = "tenant", cut_at: int | None = None, none_as_text: bool = False) -> None:
        self._spelling = spelling
        self._cut_at = cut_at
        self._none_as_text = none_as_text
        self.tenants = {tenant.code: tenant for tenant in _demo()}
        self._routes: Sequence[tuple[str, Callable[[Request, str], Reply]]] = (
            (rf"GET {_API}/data-versions", self._list_versions),
            (rf"PUT {_API}/data-versions/disable", self._disable),
            (rf"GET {_API}/data/uploads", self._list_uploads),
            (rf"PUT {_API}/data/uploads/(include|exclude)", self._choose),
            (rf"GET {_API}/data-connectors", self._list_connectors),
            (rf"POST {_API}/data-connectors/assignCredentials", self._assign),
            (rf"GET {_API}/data-connector-credentials", self._list_credentials),
            (rf"POST {_API}/data-connector-credentials", self._create),
            (rf"DELETE {_API}/data-connector-credentials/([^/]+)", self._delete),
        )

    def answer(self, request: Request) -> Reply | None:
        """The answer to a call, None to one that is not of this kind."""
        for route, act in self._routes:
            if found := re.fullmatch(route, f"{request.method} {request.path}"):
                return act(request, unquote(found[1]) if found.groups() else "")
        return None

    # Data versions

    def _list_versions(self, request: Request, _: str) -> Reply:
        number = _number(request, "numberOfVersions", default=1, most=5)

        def shown(tenant: Tenant) -> dict[str, object]:
            newest = sorted(tenant.versions, key=int, reverse=True)[:number]
            versions: object = [
                {"dataVersion": version, "dataVersionDate": tenant.versions[version]} for version in newest
            ]
            return {self._spelling: tenant.code, "dataVersions": versions or ("" if self._none_as_text else [])}

        return self._page(request, "tenants", list(map(shown, self._chosen(request))))

    def _disable(self, request: Request, _: str) -> Reply:
        wanted = _objects(_model(request), "dataVersionObjects")
        return _counted("results", [self._disabled(each) for each in wanted])

    def _disabled(self, wanted: Mapping[str, object]) -> dict[str, object]:
        code, version = str(wanted.get("tenantCode", "")), str(wanted.get("dataVersion", ""))
        tenant = self.tenants.get(code)
        if tenant is None:
            return _version_result(code, version, "Current user has insufficient permissions for the tenant.")
        version = version or tenant.newest_version or ""
        if version not in tenant.versions:
            return _version_result(code, version, "The data version does not exist or is disabled already.")
        del tenant.versions[version]
        return _version_result(code, version, "")

    # Uploads

    def _list_uploads(self, request: Request, _: str) -> Reply:
        number = _number(request, "numberOfDataUploads", default=1, most=5)

        def shown(tenant: Tenant) -> dict[str, object]:
            newest = sorted(tenant.uploads, reverse=True)[:number]
            uploads = [{"uploadTime": time, "included": tenant.uploads[time]} for time in newest]
            return {"tenantCode": tenant.code, "uploads": uploads}

        return self._page(request, "tenants", list(map(shown, self._chosen(request))))

    def _choose(self, request: Request, what: str) -> Reply:
        wanted = _objects(_model(request), "uploads")
        return _counted("uploads", [result for each in wanted for result in self._chosen_uploads(what, each)])

    def _chosen_uploads(self, what: str, wanted: Mapping[str, object]) -> Iterator[dict[str, object]]:
        code, times = str(wanted.get("tenantCode", "")), wanted.get("uploadTimes")
        tenant = self.tenants.get(code)
        first, last = str(wanted.get("minUploadTime", "")), str(wanted.get("maxUploadTime", "~"))
        if not isinstance(times, list):
            if not (wanted.get(f"{what}All") is True or "minUploadTime" in wanted or "maxUploadTime" in wanted):
                raise RefusedError(400, "InvalidRequest", f"uploadTimes or {what}All is required.")
            times = [time for time in (tenant.uploads if tenant else {"": True}) if first <= time <= last]
        for time in map(str, times):
            if tenant is None:
                yield _upload_result(code, time, "Current user has insufficient permissions for the tenant.")
            elif time not in tenant.uploads:
                yield _upload_result(code, time, "The upload does not exist for the tenant.")
            else:
                tenant.uploads[time] = what == "include"
                yield _upload_result(code, time, "")

    # Connectors and credentials

    def _list_connectors(self, request: Request, _: str) -> Reply:
        connectors: list[dict[str, object]] = [
            {"connectorId": each.uuid, "displayName": each.name, "credentialId": each.credential}
            for each in self._one(request).connectors
        ]
        return self._page(request, "dataConnectors", connectors, filtered=False)

    def _list_credentials(self, request: Request, _: str) -> Reply:
        tenant = self._one(request)
        credentials = [
            {
                "credentialId": each.uuid,
                "displayName": each.name,
                "dataProvider": each.provider,
                "isInherited": False,
            }
            for each in tenant.credentials
        ]
        return json_reply(200, {"connectorCredentials": credentials})

    def _create(self, request: Request, _: str) -> Reply:
        model = _model(request)
        params, about = model.get("dataProviderAuthParams"), model.get("dataProviderBasicInformation")
        if not (isinstance(params, dict) and isinstance(about, dict) and about.get("displayName")):
            raise RefusedError(400, "InvalidRequest", "dataProviderAuthParams and displayName are required.")
        content = next((value for name, value in params.items() if name.endswith("AuthParams")), None)
        if not isinstance(content, dict) or not params.get("provider"):
            # As a careless vendor would: what was sent stands in the error.
            raise RefusedError(
                400, "InvalidCredential", f"The provider's parameters are not valid: {json.dumps(params)}"
            )
        made = Credential(str(uuid.uuid4()), str(about["displayName"]), str(params["provider"]), content)
        self._one(request).credentials.append(made)
        answer: dict[str, object] = {
            "uuid": made.uuid,
            "symbolName": made.name.replace(" ", "_"),
            "objectName": made.name,
        }
        empty = [name for name, value in content.items() if value == ""]
        return json_reply(200, {**answer, "missingConnectionProperties": empty} if empty else answer)

    def _delete(self, request: Request, credential: str) -> Reply:
        tenant = self._one(request)
        kept = [each for each in tenant.credentials if each.uuid != credential]
        if len(kept) == len(tenant.credentials):
            raise RefusedError(404, "NotFound", f"There is no credential {credential}.")
        tenant.credentials = kept
        return json_reply(200, f"Credential {credential} is deleted.")

    def _assign(self, request: Request, _: str) -> Reply:
        results = [
            self._assigned(str(connector.get("connectorId", "")), each)
            for connector in _objects(_model(request), "connectors")
            for each in _objects(connector, "tenants")
        ]
        return json_reply(200, {"tenants": results})

    def _assigned(self, connector: str, wanted: Mapping[str, object]) -> dict[str, object]:
        code, credential = str(wanted.get("tenantCode", "")), str(wanted.get("credentialId", ""))
        tenant = self.tenants.get(code, Tenant(code))
        known = next((each for each in tenant.connectors if each.uuid == connector), None)
        chosen = next((each for each in tenant.credentials if each.uuid == credential), None)
        if known is None or chosen is None:
            what = "connector" if known is None else "credential"
            message = f"The {what} does not exist for the tenant."
            return {"tenantCode": code, "connectors": [], "status": "Failed", "message": message}
        known.credential = credential
        one = {
            "connector": {"connectorId": known.uuid, "displayName": known.name},
            "credential": {"credentialId": chosen.uuid, "displayName": chosen.name},
        }
        return {"tenantCode": code, "connectors": [one], "status": "Succeed"}

    # Tenants and pages

    def _chosen(self, request: Request) -> list[Tenant]:
        code = request.query.get("tenantCode")
        return [self._one(request)] if code else [tenant for tenant in self.tenants.values() if tenant.code != OWN]

    def _one(self, request: Request) -> Tenant:
        code = request.query.get("tenantCode") or OWN
        if code not in self.tenants:
            raise RefusedError(403, "TenantAccessDenied", f"The user has no access to tenant {code}.")
        return self.tenants[code]

    def _page(self, request: Request, name: str, items: list[dict[str, object]], *, filtered: bool = True) -> Reply:
        """Of one tenant there are no pages: `limit` is ignored."""
        start = _number(request, "start", default=0, most=10**9, least=0)
        limit = _number(request, "limit", default=_MOST, most=_MOST)
        size = len(items) if filtered and request.query.get("tenantCode") else limit
        cut = min(size, self._cut_at or size)
        shown = items[start : start + cut]
        truncated = cut < size and start + cut < len(items)
        return json_reply(206 if truncated else 200, {name: shown, "limit": limit, "start": start})


def _demo() -> Iterator[Tenant]:
    """One tenant has a connector with its credential, one has data, one has nothing yet."""
    yield Tenant(OWN)
    yield Tenant(
        "WFF_j1r~c7o",
        versions={
            "5166161": "2019-10-02T20:35:21.420Z",
            "5166160": "2019-10-01T20:31:09.117Z",
            "5166148": "2019-09-30T20:33:54.002Z",
        },
        uploads={"2021-12-13T08:00:00.123Z": True, "2021-12-12T08:00:00.456Z": True, "2021-12-11T08:00:00.789Z": False},
        connectors=[Connector(_CONNECTOR, "UKG Pro", _CREDENTIAL)],
        credentials=[Credential(_CREDENTIAL, "UKG", "UKG")],
    )
    yield Tenant(
        "WFF_j1r~e1a",
        versions={"5166155": "2019-10-02T20:40:00.000Z"},
        uploads={"2021-12-13T09:30:00.000Z": True},
    )
    yield Tenant("WFF_j1r~zz9")


def _model(request: Request) -> Mapping[str, object]:
    text: str | bytes = request.body
    if b"model=" in request.body[:6]:
        text = request.form().get("model", "")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("model"), dict):
        body = body["model"]
    if not isinstance(body, dict):
        raise RefusedError(400, "InvalidRequest", "The body is neither JSON nor a form with a model.")
    return body


def _objects(model: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    value = model.get(name)
    if not (isinstance(value, list) and value and all(isinstance(each, dict) for each in value)):
        raise RefusedError(400, "InvalidRequest", f"{name} must be a list of objects.")
    if len(value) > _MOST:
        raise RefusedError(400, "InvalidRequest", f"{name} may hold {_MOST} objects.")
    return value


def _number(request: Request, name: str, *, default: int, most: int, least: int = 1) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        raise RefusedError(400, "InvalidRequest", f"{name} must be from {least} to {most}.")
    return int(text)


def _counted(name: str, results: list[dict[str, object]]) -> Reply:
    """Always 200, whatever became of the parts."""
    failed = sum(result["status"] == "Failed" for result in results)
    return json_reply(200, {"totalFailures": failed, "totalSuccess": len(results) - failed, name: results})


def _version_result(code: str, version: str, problem: str) -> dict[str, object]:
    done = not problem
    return {
        "jobId": str(uuid.uuid4()) if done else "",
        "dataVersion": version if done else "",
        "tenantCode": code,
        "status": "Succeeded" if done else "Failed",
        "message": problem,
    }


def _upload_result(code: str, time: str, problem: str) -> dict[str, object]:
    status = "Failed" if problem else "Succeeded"
    return {"tenantCode": code, "uploadTime": time, "status": status, "message": problem}
