"""What a cold start pays for."""

import subprocess
import sys

import haul.connectors

SOURCE = haul.connectors.__path__[0].removesuffix("/haul/connectors")


def imported_by(statement: str) -> set[str]:
    report = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", report], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


def test_a_vendor_is_imported_when_it_is_asked_for() -> None:
    modules = imported_by("from haul import connectors; connectors.names()")

    assert "haul.connectors" in modules
    assert not {"haul.connectors.visier", "requests"} & modules


def test_a_connector_needs_requests_and_models_alone() -> None:
    modules = imported_by("import haul.connectors.visier")

    assert {"requests", "pydantic"} <= modules
    assert not {"boto3", "botocore", "aws_lambda_powertools", "awscrt", "yaml"} & modules
