"""`python -m infra.app [--environment NAME]`: synthesize one environment's stack into `cdk.out` (or `CDK_OUTDIR`).

Without `--environment` it is the one that `HAUL_ENV` names, else `dev`. Needs no account, network or Docker, and
fails if cdk-nag's AwsSolutions pack has anything to say.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from haul.errors import HaulError
from haul.models.pipeline import Pipeline
from infra import environment as environments
from infra import layer, triggers
from infra.environment import Environment
from infra.layer import Layers
from infra.stack import HaulStack

# The same template whether the CDK's command line or a person starts this.
_CONTEXT = {
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/core:validateAgainstDefaultRules": True,
}


def create(name: str, *, outdir: str | None = None) -> cdk.App:
    """Build the app for environment `name`, from the files in `infra`.

    Raises:
        HaulError: a file of `infra/environments` or `infra/pipelines` is wrong, or a layer is not built.
    """
    environment = environments.load(name)
    pipelines = triggers.read_all(name)
    layers = layer.built(environment.resolved_architecture())
    return assemble(name, environment, pipelines, layers, outdir=outdir)


def assemble(
    name: str, environment: Environment, pipelines: Sequence[Pipeline], layers: Layers, *, outdir: str | None = None
) -> cdk.App:
    """Build the app of the one stack that all this describes."""
    app = cdk.App(
        outdir=outdir,
        analytics_reporting=False,
        tree_metadata=False,
        context=_CONTEXT,
        builtin_cloud_formation_validation=environment.check_template,
    )
    stack = HaulStack(
        app,
        f"Haul-{name}",
        name=name,
        environment=environment,
        pipelines=pipelines,
        layers=layers,
        description=f"Haul, environment {name}: export jobs of SaaS vendors, landed in S3",
        env=cdk.Environment(
            account=environment.account or os.environ.get("CDK_DEFAULT_ACCOUNT"),
            region=environment.region or os.environ.get("CDK_DEFAULT_REGION"),
        ),
        termination_protection=environment.termination_protection,
        permissions_boundary=_boundary(environment.permissions_boundary),
    )
    for key, value in environment.tags.items():
        cdk.Tags.of(stack).add(key, value)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def _boundary(policy: str | None) -> cdk.PermissionsBoundary | None:
    if policy is None:
        return None
    of = cdk.PermissionsBoundary
    return of.from_arn(policy) if policy.startswith("arn:") else of.from_name(policy)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.app", description="Synthesize one environment's stack.")
    parser.add_argument("--environment", default=os.environ.get("HAUL_ENV") or "dev", help="HAUL_ENV, else dev")
    name = parser.parse_args().environment
    try:
        app = create(name, outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    except HaulError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
