"""Synth itself: what it needs, what it says when something is wrong, what it finds in the files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from cdk_nag import AwsSolutionsChecks

from infra import app, layer
from tests.infra.conftest import Synthesized

ROOT = Path(__file__).parents[2]


def test_synth_asks_nothing_of_an_account(prod: Synthesized) -> None:
    """Whatever CDK would look up is listed as missing, and the template does not name an account."""
    assert "missing" not in prod.manifest
    assert "dockerImages" not in json.dumps(prod.manifest)
    assert prod.manifest["artifacts"]["Haul-prod"]["environment"] == "aws://unknown-account/unknown-region"


def test_the_local_environment_is_the_emulators_account(local: Synthesized) -> None:
    assert local.manifest["artifacts"]["Haul-local"]["environment"] == "aws://000000000000/us-east-1"


def test_cdk_nag_finds_what_nobody_has_answered(tmp_path: Path) -> None:
    """That the stack passes means something only if this does not."""
    unclean = cdk.App(outdir=str(tmp_path))
    cdk.Validations.of(unclean).add_plugins(AwsSolutionsChecks(unclean))
    role = iam.Role(cdk.Stack(unclean, "Unclean"), "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    role.add_to_policy(iam.PolicyStatement(actions=["s3:*"], resources=["*"]))

    with pytest.raises(RuntimeError, match=r"AwsSolutions-IAM5\[Action::s3:\*\]"):
        unclean.synth()


def test_synth_says_how_to_build_the_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(layer, "BUILD", tmp_path)

    with pytest.raises(layer.LayerMissingError, match=r"make layer.*--arch arm64"):
        app.create("prod")


def test_an_environment_without_a_file_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.app", "--environment", "prodd"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "environment prodd: there is no prodd.yaml" in done.stderr
    assert "there are: dev, local, prod" in done.stderr
    assert "Traceback" not in done.stderr
