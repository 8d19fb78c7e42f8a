"""What handlers and the command line work with, built from the environment once per process."""

import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session

from haul import connectors
from haul.adapters import sessions
from haul.adapters.documents import S3Documents
from haul.adapters.ledger import S3Store
from haul.adapters.secrets import GivenSecret, LinkSecrets, Secret
from haul.errors import InvalidEventError
from haul.ledger import Ledger
from haul.models import vendors
from haul.models.export import Download, Export
from haul.models.load import Load
from haul.models.work import Work
from haul.ports import Connector, LoadConnector, Site, TakesLinks
from haul.settings import Settings

if TYPE_CHECKING:
    from haul.adapters.executions import StepFunctionsExecutions
    from haul.adapters.landing import S3Landing
    from haul.adapters.sources import S3Objects
    from haul.downloads import Downloader
    from haul.endings import Endings
    from haul.jobs import Vendor
    from haul.operating import Clerk
    from haul.pacing import Pace

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 3},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    signature_version="v4",
)
# What lands carries its CRC64NVME over TLS: hashing every body for its signature too would cost as much as moving it.
_S3_CONFIG = _CONFIG.merge(
    Config(signature_version="s3v4", s3={"addressing_style": "path", "payload_signing_enabled": False})
)


def now() -> datetime:
    return datetime.now(UTC)


@cache
def settings() -> Settings:
    return Settings.from_env()


def use(known: Settings) -> None:
    """Work with these names from now on, as if they had been deployed with this process."""
    os.environ.update(known.to_env())
    for made in (settings, client, site, _secret):
        made.cache_clear()
    _connectors.clear()
    _loads.clear()


@cache
def session() -> Session:
    return sessions.session()


@cache
def client(service: str) -> Any:
    """A client of an AWS service; endpoint and region come from the environment."""
    return session().create_client(service, config=_S3_CONFIG if service == "s3" else _CONFIG)


@cache
def site() -> Site:
    known = settings()
    return Site(
        environment=known.environment,
        bucket=known.landing_bucket,
        quota_reserve=known.quota_reserve,
        poll_failures_allowed=known.poll_failures_allowed,
        code_version=known.code_version,
    )


def store() -> S3Store:
    return S3Store(settings().landing_bucket, client("s3"))


def ledger() -> Ledger:
    """A ledger with a writer of its own: one per invocation."""
    return Ledger(store())


def executions() -> "StepFunctionsExecutions":
    from haul.adapters.executions import StepFunctionsExecutions  # noqa: PLC0415 - polls do without it

    return StepFunctionsExecutions(client("stepfunctions"))


def documents() -> S3Documents:
    return S3Documents(settings().landing_bucket, client("s3"))


def landing() -> "S3Landing":
    from haul.adapters.landing import S3Landing  # noqa: PLC0415 - needs awscrt, which Download alone has

    return S3Landing(settings().landing_bucket, client("s3"), session().get_credentials)


@cache
def _secret(name: str) -> Secret:
    return Secret(name, client("secretsmanager"))


_connectors: dict[tuple[str, str, str], Connector] = {}


def connect(vendor: str, connection: str, options: Mapping[str, Any]) -> Connector:
    """The connector of a connection, kept while the process lives so that its token is used again."""
    key = (vendor, connection, repr(sorted(options.items())))
    if key not in _connectors:
        secret = _secret(settings().secret_prefix + connection)
        secret.current()
        _connectors[key] = connectors.connect(vendor, secret, options)
    return _connectors[key]


_loads: dict[tuple[str, str, str, str], LoadConnector] = {}


def connect_load(vendor: str, action: str, connection: str, options: Mapping[str, Any]) -> LoadConnector:
    """The connector of one of the vendor's loads, kept as `connect` keeps one."""
    key = (vendor, action, connection, repr(sorted(options.items())))
    if key not in _loads:
        secret = _secret(settings().secret_prefix + connection)
        secret.current()
        _loads[key] = connectors.connect_load(vendor, action, secret, options)
    return _loads[key]


def vendor_of(work: Work) -> "Vendor[Any]":
    """The vendor as a run's own flow asks it for jobs."""
    from haul import exports, loads  # noqa: PLC0415 - only the ends of runs need both

    if isinstance(work, Load):
        return loads.vendor(connect_load(work.vendor, work.action, work.connection, work.options), objects())
    return exports.vendor(connect(work.vendor, work.connection, work.options))


def check_secret(vendor: str, value: Mapping[str, Any]) -> None:
    """Refuse a secret that the vendor's connector would refuse; nobody is asked.

    Raises:
        InvalidSecretError: naming each wrong field, never its value.
    """
    connectors.connect(vendor, GivenSecret(value), {})


def connector(of: Export | Download) -> Connector:
    """The connector of a run; of one whose links a person handed over, a connector of its own that serves these.

    Raises:
        InvalidEventError: nobody handed any over, or the vendor has no use for them.
    """
    plain = connect(of.vendor, of.connection, of.options)
    if not of.link:
        return plain
    if not isinstance(plain, TakesLinks):
        raise InvalidEventError(f"rerun.link: {vendors.title(of.vendor)} sends no links by mail; rerun it without")
    return plain.with_links(_links().of(of.run_id))


def _links() -> LinkSecrets:
    return LinkSecrets(settings().link_secret, client("secretsmanager"))


def read_credential(name: str, /) -> Mapping[str, Any]:
    """The content of a credential that a vendor is to keep; kept nowhere, as it is needed once."""
    return Secret(settings().credential_secret(name), client("secretsmanager"), what="secret").fresh()


def clerk(*, credentials: bool = False) -> "Clerk":
    """Runs operations: those that handle credentials, or all others."""
    from haul.operating import Clerk  # noqa: PLC0415 - only operations need it

    return Clerk(
        environment=settings().environment,
        connect=connect,
        documents=documents(),
        read_credential=read_credential if credentials else None,
    )


def objects(*, time_left: Callable[[], float] = lambda: math.inf) -> "S3Objects":
    """The objects that loads send; `time_left` is how many seconds there are for it."""
    from haul.adapters.sources import S3Objects  # noqa: PLC0415 - only loads send objects

    return S3Objects(client("s3"), time_left=time_left)


@cache
def _pace(vendor: str, connection: str, calls: int | None) -> "Pace":
    """Kept while the process lives: the calls of one invocation count for the next one too."""
    from haul.pacing import Pace  # noqa: PLC0415 - only Download needs it

    del vendor, connection
    return Pace(calls, time.monotonic)


def downloader(wanted: Download, *, time_left: Callable[[], float]) -> "Downloader":
    from haul.downloads import Downloader  # noqa: PLC0415 - only Download needs it
    from haul.pacing import share  # noqa: PLC0415
    from haul.transfer.land import land_file  # noqa: PLC0415

    vendor = connector(wanted)
    calls = share(vendor.capabilities.calls_per_minute, min(wanted.plan.concurrency, wanted.plan.items))
    return Downloader(
        wanted=wanted,
        ledger=ledger(),
        connector=vendor,
        landing=landing(),
        land_file=land_file,
        pause=time.sleep,
        clock=now,
        time_left=time_left,
        pace=_pace(wanted.vendor, wanted.connection, calls),
    )


def endings() -> "Endings":
    from haul.adapters.notices import AwsNotifier  # noqa: PLC0415 - only the ends of runs need these
    from haul.endings import Endings  # noqa: PLC0415

    known = settings()
    return Endings(
        ledger=ledger(),
        landing=documents(),
        notifier=AwsNotifier(known.notices_topic_arn, known.event_bus_name, client("sns"), client("events")),
        site=site(),
        vendor_of=vendor_of,
        links=_links(),
        executions=executions(),
    )
