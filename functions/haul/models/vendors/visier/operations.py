"""What Visier answers at once, and what each of these calls takes."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from haul.models.base import Written
from haul.models.vendors import OperationKind

_AT_ONCE = 1000

Word = Annotated[str, StringConstraints(min_length=1)]
Tenant = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,100}$")]
OneTenant = Annotated[
    Tenant | None, Field(description="the tenant's code; without it the connection's own", examples=["WFF_j1r~c7o"])
]
TenantsToRead = Annotated[
    list[Tenant],
    Field(description="tenants' codes; without any all that the connection sees", examples=[["WFF_j1r~c7o"]]),
]
TenantsToChange = Annotated[
    list[Tenant], Field(min_length=1, max_length=_AT_ONCE, description="tenants' codes", examples=[["WFF_j1r~c7o"]])
]
# As Visier writes them: they are an upload's key, so one that was read and written anew could miss.
UploadTime = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$")]


class OfExport(Written):
    """A finished export."""

    export: Annotated[Word, Field(description="the export's UUID")]


class OfJob(Written):
    """A job of Visier's."""

    job: Annotated[Word, Field(description="the job's UUID")]


class OfVersions(Written):
    """Whose data versions to list."""

    tenant: TenantsToRead = []
    number: Annotated[int, Field(ge=1, le=5, description="how many of each tenant, the newest first")] = 5
    category: Annotated[Word | None, Field(description="a data category's id; without it the primary one")] = None


class DisableVersions(Written):
    """Which data versions readers are no longer to see."""

    tenant: TenantsToChange
    version: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^[0-9]+$")]],
        Field(
            max_length=_AT_ONCE,
            description="data versions of that one tenant; without any the latest enabled one of each tenant",
            examples=[["5166161"]],
        ),
    ] = []
    category: Annotated[Word | None, Field(description="a data category's id; without it the primary one")] = None

    @model_validator(mode="after")
    def _a_number_belongs_to_a_tenant(self) -> Self:
        if self.version and len(self.tenant) > 1:
            raise ValueError("version: only together with one tenant, as each tenant has numbers of its own")
        return self


class OfUploads(Written):
    """Which uploads to list."""

    tenant: TenantsToRead = []
    job: Annotated[Word | None, Field(description="the receiving job that took them in")] = None
    number: Annotated[int, Field(ge=1, le=5, description="how many of each tenant, the newest first")] = 5


class ChooseUploads(Written):
    """Which uploads the next data version is to hold, or not to hold: by their times, by a span of time, or all."""

    tenant: TenantsToChange
    upload_time: Annotated[
        list[UploadTime],
        Field(max_length=_AT_ONCE, description="as list-uploads shows them", examples=[["2021-12-13T08:00:00.123Z"]]),
    ] = []
    all: Annotated[bool, Field(description="every upload of these tenants")] = False
    min_upload_time: Annotated[UploadTime | None, Field(description="none before this one")] = None
    max_upload_time: Annotated[UploadTime | None, Field(description="none after this one")] = None
    source: Annotated[list[Word], Field(description="only uploads of these sources")] = []
    file_name_regex: Annotated[Word | None, Field(description="only files whose name it matches")] = None
    file_identifier: Annotated[list[Word], Field(description="only these files")] = []

    @model_validator(mode="after")
    def _chosen_in_one_way(self) -> Self:
        span = bool(self.min_upload_time or self.max_upload_time)
        if sum((bool(self.upload_time), self.all, span)) != 1:
            raise ValueError("either upload_time, or min_upload_time and max_upload_time, or all")
        return self


class OfTenants(Written):
    """Whose connectors or credentials to list."""

    tenant: Annotated[list[Tenant], Field(description="tenants' codes; without any the connection's own")] = []


class CreateCredential(Written):
    """A credential for Visier to reach a source system with; what it holds is read from Secrets Manager."""

    secret: Annotated[
        SecretName,
        Field(
            description="the secret haul-credential/<environment>/<secret>: provider, and the provider's AuthParams",
            examples=["ukg"],
        ),
    ]
    name: Annotated[Word, Field(description="what Visier displays", examples=["UKG"])]
    description: Annotated[str, Field(description="for people, at Visier")] = ""
    tenant: OneTenant = None


class DeleteCredential(Written):
    """A credential that Visier is to forget."""

    credential: Annotated[Word, Field(description="the credential's UUID, as list-credentials shows it")]
    tenant: OneTenant = None


class AssignCredential(Written):
    """Which credential a connector of these tenants is to use."""

    connector: Annotated[Word, Field(description="the connector's UUID, as list-connectors shows it")]
    credential: Annotated[Word, Field(description="the credential's UUID, as list-credentials shows it")]
    tenant: TenantsToChange


OPERATIONS = {
    "list-data-versions": OperationKind("the data versions that can be exported"),
    "list-exports": OperationKind("the finished exports that can still be downloaded"),
    "export-details": OperationKind("tables, columns and files of a finished export", OfExport),
    "job-status": OperationKind("where an export job stands", OfJob),
    "list-tenant-data-versions": OperationKind("the enabled data versions of tenants", OfVersions),
    "disable-data-versions": OperationKind("take data versions away from readers", DisableVersions, changes=True),
    "list-uploads": OperationKind("the data uploads of tenants, and whether they are included", OfUploads),
    "include-uploads": OperationKind("let the next data versions hold uploads", ChooseUploads, changes=True),
    "exclude-uploads": OperationKind("keep uploads out of the next data versions", ChooseUploads, changes=True),
    "list-connectors": OperationKind("the data connectors of tenants, and their credentials", OfTenants),
    "list-credentials": OperationKind("the credentials that connectors may use, without what they hold", OfTenants),
    "create-credential": OperationKind(
        "make a credential out of a secret", CreateCredential, changes=True, handles_credentials=True
    ),
    "delete-credential": OperationKind("delete a credential", DeleteCredential, changes=True, handles_credentials=True),
    "assign-credentials": OperationKind(
        "give a connector of tenants its credential", AssignCredential, changes=True, handles_credentials=True
    ),
}
