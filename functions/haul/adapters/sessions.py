"""What AWS clients are made by: botocore's session, without what a function that starts often has no use for."""

import botocore.session
from botocore.loaders import Loader

_SERVICES = ("events", "s3", "secretsmanager", "sns", "ssm", "stepfunctions", "sts")


class _OurServices(Loader):
    """Finds the descriptions of the services that are used here.

    To know all that there are, botocore reads each of their folders, four hundred, twice for every process.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 - all of ours have every type
        return list(_SERVICES)


def session() -> botocore.session.Session:
    """Finds credentials, region and endpoint by itself.

    boto3's would add resources and s3transfer, a twentieth of a start.
    """
    made = botocore.session.get_session()
    made.register_component("data_loader", _OurServices())
    return made
