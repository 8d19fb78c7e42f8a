"""What Visier's management API answers. Its own documentations differ in names; both are read."""

from typing import Annotated, Any, Self

from pydantic import AliasChoices, BeforeValidator, Field, ModelWrapValidatorHandler, model_validator

from haul.connectors.visier.replies import VisierReply


def _list(value: Any) -> Any:
    """An empty string stands for nothing, in place of a list too."""
    return [] if value == "" else value


def _count(value: Any) -> Any:
    return 0 if value == "" else value


type Count = Annotated[int, BeforeValidator(_count)]
type Listed[M] = Annotated[tuple[M, ...], BeforeValidator(_list)]


class ManagementReply(VisierReply):
    """Every object keeps what it came as, also those inside of others."""

    @model_validator(mode="wrap")
    @classmethod
    def _keep(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(value)
        made._document = value  # noqa: SLF001 - its own
        return made


class Version(ManagementReply):
    """An enabled data version of a tenant."""

    data_version: str = ""
    data_version_date: str = ""

    @property
    def day(self) -> str:
        return self.data_version_date.partition("T")[0]


class TenantVersions(ManagementReply):
    tenant: Annotated[str, Field(validation_alias=AliasChoices("tenantCode", "tenant"))] = ""
    data_versions: Listed[Version] = ()

    @property
    def newest_first(self) -> list[Version]:
        """By date, then number: no order is promised."""
        return sorted(
            self.data_versions,
            key=lambda version: (version.data_version_date, version.data_version.zfill(20)),
            reverse=True,
        )


class VersionPage(ManagementReply):
    tenants: Listed[TenantVersions] = ()


class Upload(ManagementReply):
    """`upload_time` is its key: kept as Visier writes it."""

    upload_time: str = ""
    included: bool | None = None


class TenantUploads(ManagementReply):
    tenant: Annotated[str, Field(validation_alias=AliasChoices("tenantCode", "tenant"))] = ""
    uploads: Listed[Upload] = ()


class UploadPage(ManagementReply):
    tenants: Listed[TenantUploads] = ()


class DataConnector(ManagementReply):
    connector_id: str = ""
    display_name: str = ""
    credential_id: str = ""


class ConnectorPage(ManagementReply):
    data_connectors: Listed[DataConnector] = ()


class Credential(ManagementReply):
    """A credential without what it holds."""

    credential_id: str = ""
    display_name: str = ""
    data_provider: str = ""
    is_inherited: bool | None = None


class CredentialPage(ManagementReply):
    connector_credentials: Listed[Credential] = ()


class CredentialCreated(ManagementReply):
    """`missing_connection_properties` is there where Visier could take only a part."""

    uuid: Annotated[str, Field(min_length=1)]
    symbol_name: str = ""
    object_name: str = ""
    missing_connection_properties: Any = None


class Done(ManagementReply):
    """What became of one thing that was asked for, in an answer that is 200 all the same."""

    tenant: Annotated[str, Field(validation_alias=AliasChoices("tenantCode", "tenant"))] = ""
    data_version: str = ""
    upload_time: str = ""
    status: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status.casefold() in ("succeeded", "succeed")


class Results(ManagementReply):
    """Counts and results; either may be the fuller one."""

    total_failures: Count = 0
    total_success: Count = 0
    results: Listed[Done] = ()
    uploads: Listed[Done] = ()
    tenants: Listed[Done] = ()

    @property
    def each(self) -> list[Done]:
        return [*self.results, *self.uploads, *self.tenants]
