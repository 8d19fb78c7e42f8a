"""Visier's management API, every call that answers at once.

    GET    /v1/op/data-versions                          the enabled data versions of tenants
    PUT    /v1/op/data-versions/disable                  form model={"dataVersionObjects": [...]}
    GET    /v1/op/data/uploads                           data uploads; an upload's time is its key
    PUT    /v1/op/data/uploads/include   .../exclude     form model={"uploads": [...]}
    GET    /v1/op/data-connectors                        connectors, each with its credential
    POST   /v1/op/data-connectors/assignCredentials      {"connectors": [...]}
    GET    /v1/op/data-connector-credentials             credentials, without what they hold
    POST   /v1/op/data-connector-credentials             form model={...}, with what it holds
    DELETE /v1/op/data-connector-credentials/{id}

Writes answer 200 also where some or all of what was asked for failed. None knows an idempotency key: none is repeated.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol
from urllib.parse import quote, quote_plus, urlencode

from haul.connectors.visier import management_replies as replies
from haul.connectors.visier.calls import VisierCalls
from haul.connectors.visier.replies import VisierReply
from haul.errors import InvalidSecretError, UnexpectedResponseError
from haul.replies import read
from haul.rest import Reply

_API = "/v1/op"
_PAGE = 1000
_TRUNCATED = 206
_PARAMS = "AuthParams"


class VisierManagement:
    """Data versions, uploads, connectors and credentials, over the login of `calls`, which may write."""

    def __init__(self, calls: VisierCalls, *, page_size: int = _PAGE) -> None:
        self._calls = calls
        self._page_size = page_size

    # Data versions

    def versions(
        self, tenants: Sequence[str] = (), *, number: int = 5, category: str | None = None
    ) -> list[replies.TenantVersions]:
        """The newest enabled versions of these tenants, or of all that the user sees."""
        query = {"numberOfVersions": number, "dataCategory": category}
        pages = self._of_tenants(
            replies.VersionPage, f"{_API}/data-versions", tenants, query, lambda page: page.tenants
        )
        return [tenant for page in pages for tenant in page.tenants]

    def disable(self, versions: Sequence[Mapping[str, str]]) -> replies.Results:
        return self._write("PUT", "data-versions/disable", {"dataVersionObjects": list(versions)})

    # Uploads

    def uploads(
        self, tenants: Sequence[str] = (), *, number: int = 5, job: str | None = None
    ) -> list[replies.TenantUploads]:
        query = {"numberOfDataUploads": number, "uploadJobId": job}
        pages = self._of_tenants(replies.UploadPage, f"{_API}/data/uploads", tenants, query, lambda page: page.tenants)
        return [tenant for page in pages for tenant in page.tenants]

    def choose_uploads(
        self, what: Literal["include", "exclude"], uploads: Sequence[Mapping[str, Any]]
    ) -> replies.Results:
        return self._write("PUT", f"data/uploads/{what}", {"uploads": list(uploads)})

    # Connectors and credentials

    def connectors(self, tenant: str | None = None) -> list[replies.DataConnector]:
        query = {"tenantCode": tenant}
        pages = self._pages(
            replies.ConnectorPage, f"{_API}/data-connectors", query, lambda page: page.data_connectors, paged=not tenant
        )
        return [connector for page in pages for connector in page.data_connectors]

    def credentials(self, tenant: str | None = None) -> list[replies.Credential]:
        path = f"{_API}/data-connector-credentials"
        query = {"tenantCode": tenant}
        pages = self._pages(replies.CredentialPage, path, query, lambda page: page.connector_credentials, paged=False)
        return [credential for page in pages for credential in page.connector_credentials]

    def create_credential(
        self, content: Mapping[str, Any], *, name: str, description: str = "", tenant: str | None = None
    ) -> replies.CredentialCreated:
        """Have Visier keep a credential. What it holds is struck out of whatever Visier says about it.

        Raises:
            InvalidSecretError: the content is none that Visier could take; the message holds none of it.
        """
        model = {
            "dataProviderAuthParams": checked_content(content),
            "dataProviderBasicInformation": {"displayName": name, "description": description},
        }
        reply = self._calls.call(
            "POST",
            _with(f"{_API}/data-connector-credentials", {"tenantCode": tenant}),
            form=_form(model),
            hide=_spellings(content),
            fresh_connection=True,
        )
        return self._read(replies.CredentialCreated, reply)

    def delete_credential(self, credential: str, *, tenant: str | None = None) -> None:
        path = f"{_API}/data-connector-credentials/{quote(credential, safe='')}"
        self._calls.call("DELETE", _with(path, {"tenantCode": tenant}), fresh_connection=True)

    def assign(self, connector: str, credential: str, tenants: Sequence[str]) -> replies.Results:
        wanted = [{"tenantCode": tenant, "credentialId": credential} for tenant in tenants]
        reply = self._calls.call(
            "POST",
            f"{_API}/data-connectors/assignCredentials",
            body={"connectors": [{"connectorId": connector, "tenants": wanted}]},
            fresh_connection=True,
        )
        return self._read(replies.Results, reply)

    # Calls

    def _write(self, method: str, path: str, model: Mapping[str, Any]) -> replies.Results:
        reply = self._calls.call(method, f"{_API}/{path}", form=_form(model), fresh_connection=True)
        return self._read(replies.Results, reply)

    def _of_tenants[M: VisierReply](
        self,
        model: type[M],
        path: str,
        tenants: Sequence[str],
        query: Mapping[str, Any],
        items: "Items[M]",
    ) -> Iterator[M]:
        """One call for each tenant, or all of them page by page; Visier filters by one tenant alone."""
        if not tenants:
            yield from self._pages(model, path, query, items, paged=True)
        for tenant in dict.fromkeys(tenants):
            yield from self._pages(model, path, {"tenantCode": tenant, **query}, items, paged=False)

    def _pages[M: VisierReply](
        self, model: type[M], path: str, query: Mapping[str, Any], items: "Items[M]", *, paged: bool
    ) -> Iterator[M]:
        """There is no total and no link: a page with fewer items than asked for is the last, unless it is a 206.

        Where the list is of one tenant, Visier takes no limit; it goes on only after a 206.
        """
        start, before = 0, None
        limit = {"limit": self._page_size} if paged else {}
        while True:
            at = {**limit, "start": start} if start or paged else {}
            reply = self._calls.call("GET", _with(path, {**query, **at}))
            page = self._read(model, reply)
            there = items(page)
            if there and there == before:
                raise UnexpectedResponseError(f"{reply.what} answered the same page twice")
            yield page
            more = reply.status == _TRUNCATED or (paged and len(there) >= self._page_size)
            if not (there and more):
                return
            start, before = start + len(there), there

    def _read[M: VisierReply](self, model: type[M], reply: Reply) -> M:
        return read(model, reply.what, reply.json())


class Items[M](Protocol):
    """Finds the items that a page is counted by."""

    def __call__(self, page: M, /) -> Sequence[Any]: ...


def checked_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a credential's secret holds: `provider`, and that provider's object of parameters."""
    problems = []
    if not (isinstance(content.get("provider"), str) and content["provider"].strip()):
        problems.append("provider: must be the data provider's name, such as UKG or BasicS3")
    params = [name for name, value in content.items() if name.endswith(_PARAMS) and isinstance(value, Mapping)]
    if len(params) != 1:
        problems.append(f"must hold one object <provider>{_PARAMS}, such as ultimate{_PARAMS}")
    problems += [f"{name}: unknown field" for name in content if name not in ("provider", *params)]
    if problems:
        raise InvalidSecretError(f"the credential's secret: {'; '.join(problems)}")
    return dict(content)


def _form(model: Mapping[str, Any]) -> dict[str, str]:
    return {"model": json.dumps(model, ensure_ascii=False)}


def _with(path: str, query: Mapping[str, Any]) -> str:
    there = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(there)}" if there else path


def _spellings(content: Mapping[str, Any]) -> list[str]:
    """Every value of a credential, as an answer may repeat it: plain, in JSON, in a form."""
    values = [str(value) for name, value in _leaves(content) if name != "provider"]
    spelled = (spelling for value in values for spelling in (value, json.dumps(value)[1:-1], quote_plus(value)))
    return list(dict.fromkeys(spelled))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    elif value not in (None, "", True, False):
        yield name, value
