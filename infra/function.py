"""Handler module → Lambda function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from haul.settings import Settings
from infra.environment import Architecture
from infra.layer import Layer, Layers
from infra.permissions import acknowledge, allow
from infra.source import staged


@dataclass(frozen=True)
class Runtime:
    """What all functions of a stack have in common."""

    code: lambda_.Code
    common: lambda_.LayerVersion
    download: lambda_.LayerVersion
    architecture: lambda_.Architecture
    log_retention: logs.RetentionDays
    settings: Settings

    @classmethod
    def create(
        cls, scope: Construct, *, layers: Layers, log_retention: logs.RetentionDays, settings: Settings
    ) -> "Runtime":
        source = staged()
        return cls(
            code=lambda_.Code.from_asset(str(source.folder), asset_hash=source.fingerprint),
            common=_version(scope, "Dependencies", layers.common),
            download=_version(scope, "DownloadDependencies", layers.download),
            architecture=_ARCHITECTURES[layers.architecture],
            log_retention=log_retention,
            settings=settings,
        )


_ARCHITECTURES: Mapping[Architecture, lambda_.Architecture] = {
    "arm64": lambda_.Architecture.ARM_64,
    "x86_64": lambda_.Architecture.X86_64,
}


def _version(scope: Construct, construct_id: str, layer: Layer) -> lambda_.LayerVersion:
    return lambda_.LayerVersion(
        scope,
        construct_id,
        code=lambda_.Code.from_asset(str(layer.archive), asset_hash=layer.fingerprint),
        compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
        compatible_architectures=[_ARCHITECTURES[layer.architecture]],
    )


class HaulFunction(lambda_.Function):
    """`haul.handlers.<module>`, deployed, with a role and a log group of its own.

    `dead_letters` is for a function that is invoked asynchronously: what it could not do ends up there.
    `lands_files` is the one that needs the layer of downloads.
    """

    def __init__(
        self,
        scope: Construct,
        module: str,
        *,
        runtime: Runtime,
        timeout: Duration,
        memory_mb: int = 512,
        dead_letters: sqs.IQueue | None = None,
        lands_files: bool = False,
    ) -> None:
        construct_id = module.title().replace("_", "")
        role = iam.Role(
            scope, f"{construct_id}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description=module
        )
        log_group = logs.LogGroup(scope, f"{construct_id}Logs", retention=runtime.log_retention)
        super().__init__(
            scope,
            construct_id,
            description=f"Haul: {module}",
            code=runtime.code,
            handler=f"haul.handlers.{module}.lambda_handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=runtime.architecture,
            layers=[runtime.common, runtime.download] if lands_files else [runtime.common],
            environment={**runtime.settings.to_env(), **_libraries(runtime.settings)},
            timeout=timeout,
            memory_size=memory_mb,
            role=role,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            system_log_level_v2=lambda_.SystemLogLevel.INFO,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            on_failure=destinations.SqsDestination(dead_letters) if dead_letters else None,
        )
        self.own_role = role
        allow(role, ["logs:CreateLogStream", "logs:PutLogEvents"], log_group.log_group_arn)
        acknowledge(self, "AwsSolutions-L1", "3.13 is what the lock file is resolved for and what every test runs on.")

    def may(
        self,
        actions: Sequence[str],
        *resources: str,
        because: str | None = None,
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        """Grant `actions`; `because` is the reason for a `*` in `resources`."""
        allow(self.own_role, actions, *resources, because=because, conditions=conditions)


def _libraries(settings: Settings) -> dict[str, str]:
    return {
        "POWERTOOLS_SERVICE_NAME": f"haul-{settings.environment}",
        "POWERTOOLS_METRICS_NAMESPACE": "Haul",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        # Traces are off, and looking for their SDK costs time at every cold start.
        "POWERTOOLS_TRACE_DISABLED": "true",
        # There are none in the layers, and looking for them reads what every package says of itself.
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }
