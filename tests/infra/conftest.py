"""The stack, synthesized once for a session, with the network cut off: nothing may be asked of it."""

import json
import os
import socket
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NO_NETWORK = Path(__file__).with_name("no_network.cjs")


def _start_node_without_network() -> None:
    """The CDK runs in a process of Node.js that the first import starts: it alone gets the option."""
    before = os.environ.get("NODE_OPTIONS")
    os.environ["NODE_OPTIONS"] = f"--require {_NO_NETWORK}"
    try:
        import aws_cdk  # noqa: F401 - for what importing it starts
    finally:
        if before is None:
            del os.environ["NODE_OPTIONS"]
        else:
            os.environ["NODE_OPTIONS"] = before


_start_node_without_network()

from infra import app, environment, triggers  # noqa: E402 - Node has to be started first
from infra.environment import Environment  # noqa: E402
from infra.layer import Contents, Layer, Layers  # noqa: E402

type Json = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """A stack's template and what came with it."""

    template: Json
    manifest: Json

    def of_type(self, kind: str) -> dict[str, Json]:
        """Resources of one type, their properties by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.template["Resources"].items()
            if resource["Type"] == kind
        }

    def one(self, kind: str, beginning: str = "") -> Json:
        """The only resource of a type whose logical id begins so."""
        [found] = [properties for name, properties in self.of_type(kind).items() if name.startswith(beginning)]
        return found

    def logical_id(self, kind: str, beginning: str) -> str:
        [found] = [name for name in self.of_type(kind) if name.startswith(beginning)]
        return found


def spelled(value: Any) -> str:
    """Write a value with references as one text: `${Landing.Arn}/ledger/*`."""
    match value:
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(spelled(part) for part in parts)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Ref": name}:
            return f"${{{name}}}"
        case str():
            return value
        case _:
            raise AssertionError(f"cannot spell {value}")


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Layers:
    """Layers for synth to find: what is in them, synth does not look at."""

    def layer(contents: Contents) -> Layer:
        archive = tmp_path_factory.mktemp("layer") / f"{contents}.zip"
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("python/empty.py", "")
        return Layer(contents, "arm64", archive, f"fingerprint of {contents}")

    return Layers(layer("common"), layer("download"))


@pytest.fixture(scope="session")
def prod(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize("prod", environment.load("prod"), layers, tmp_path_factory.mktemp("prod"))


@pytest.fixture(scope="session")
def local(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize("local", environment.load("local"), layers, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="session")
def owned(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """An environment that brings everything of its own."""
    everything = Environment(
        account="123456789012",
        region="eu-west-1",
        architecture="x86_64",
        landing_bucket="acme-landing",
        inbox_bucket="acme-inbox",
        kms_key="arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        permissions_boundary="acme-boundary",
        alarm_topic="arn:aws:sns:eu-west-1:123456789012:acme-alarms",
        notice_emails=("data@example.com",),
        credential_operations=True,
        tags={"cost-centre": "4711"},
    )
    return synthesize("prod", everything, layers, tmp_path_factory.mktemp("owned"))


def synthesize(name: str, settled: Environment, layers: Layers, out: Path) -> Synthesized:
    """Fails if cdk-nag or CDK's own rules have anything to say."""
    with _no_network_or_account():
        app.assemble(name, settled, triggers.read_all(name), layers, outdir=str(out)).synth()
    stack = f"Haul-{name}"
    return Synthesized(
        template=json.loads((out / f"{stack}.template.json").read_text()),
        manifest=json.loads((out / "manifest.json").read_text()),
    )


@contextmanager
def _no_network_or_account() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        for name in [name for name in os.environ if name.startswith(("AWS_", "CDK_"))]:
            patch.delenv(name)
        yield


def _refuse(_socket: socket.socket, address: Any) -> None:
    raise AssertionError(f"synth wants to connect to {address}")
