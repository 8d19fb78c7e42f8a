"""What functions find when they start: what they import, and nothing that only slows them down."""

import os
import subprocess
import sys

from infra.source import staged
from tests.infra.conftest import Synthesized

_DOWNLOAD = "haul.handlers.download_files"
_START = """
import importlib, inspect, pkgutil, sys

class NotThere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("awscrt", "_awscrt"):
            raise ModuleNotFoundError(f"{name} is in the layer of downloads", name=name)

sys.meta_path.insert(0, NotThere())
from haul import connectors, wiring

for name in sys.argv[1:]:
    importlib.import_module(name)
for vendor in pkgutil.walk_packages(connectors.__path__, "haul.connectors."):
    importlib.import_module(vendor.name)
for service in ("s3", "secretsmanager", "sns", "events", "stepfunctions"):
    wiring.client(service)
for name, make in inspect.getmembers(wiring, callable):
    own = getattr(make, "__module__", "") == "haul.wiring" and name != "landing"
    if own and all(each.default is not each.empty for each in inspect.signature(make).parameters.values()):
        make()
"""
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "HAUL_ENVIRONMENT": "test",
    "HAUL_LANDING_BUCKET": "landing",
    "HAUL_NOTICES_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:notices",
    "POWERTOOLS_TRACE_DISABLED": "true",
}


def started_without_its_layer(*modules: str) -> subprocess.CompletedProcess[str]:
    """Import handlers as deployed and make all that they work with, where the layer of downloads is not."""
    return subprocess.run(
        [sys.executable, "-c", _START, *modules],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(staged().folder), **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )


def layers_by_handler(stack: Synthesized) -> dict[str, list[str]]:
    """By the handlers' modules, the beginnings of the layers' logical ids."""
    return {
        function["Handler"].removesuffix(".lambda_handler"): [layer["Ref"][:-8] for layer in function["Layers"]]
        for function in stack.of_type("AWS::Lambda::Function").values()
    }


def test_download_alone_has_the_layer_of_downloads(owned: Synthesized) -> None:
    layers = layers_by_handler(owned)

    assert layers.pop(_DOWNLOAD) == ["Dependencies", "DownloadDependencies"]
    assert set(map(tuple, layers.values())) == {("Dependencies",)}


def test_functions_without_the_layer_of_downloads_import_nothing_of_it(owned: Synthesized) -> None:
    """Every handler, every connector, and all that the wiring makes."""
    handlers = layers_by_handler(owned).keys() - {_DOWNLOAD}

    started = started_without_its_layer(*sorted(handlers))

    assert handlers
    assert started.returncode == 0, started.stderr


def test_what_lands_files_does_not_start_without_it() -> None:
    """That the others do means something only if this does not."""
    started = started_without_its_layer("haul.transfer.land", "haul.adapters.landing")

    assert started.returncode != 0
    assert "awscrt" in started.stderr.splitlines()[-1]


def test_no_function_looks_for_plugins_or_traces(prod: Synthesized) -> None:
    for function in prod.of_type("AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        assert variables["PYDANTIC_DISABLE_PLUGINS"] == "__all__"
        assert variables["POWERTOOLS_TRACE_DISABLED"] == "true"
