"""`python -m infra.layer [--arch ARCH]`: the functions' dependencies, as Lambda layers.

`common` is for every function, `download` for the one that lands files: botocore imports awscrt wherever it finds it,
so it is nowhere else. What uv.lock names is installed for Lambda's own platform, compiled, stripped and zipped into
`build/`, the same bytes for the same lock file. boto3 is in neither: the runtime brings one. Without `--arch` there
are layers for each architecture that an environment file asks for. Synth takes them from there and needs no network.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from haul.errors import HaulError
from infra import environment
from infra.bytecode import PYTHON, OtherPythonError, compile_tree
from infra.environment import Architecture

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"

# The platform of the runtime, Amazon Linux 2023, as the names of wheels have it.
_PLATFORMS: dict[Architecture, str] = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
_IN_THE_RUNTIME = ("boto3", "botocore")

type Contents = Literal["common", "download"]
_EXPORTS: dict[Contents, tuple[str, ...]] = {
    "common": ("--no-default-groups", *(word for name in _IN_THE_RUNTIME for word in ("--prune", name))),
    "download": ("--only-group", "download"),
}
_NOISE = ("**/__pycache__", "**/tests", "**/*.pyi", "bin", ".lock", "*.dist-info/RECORD", "*.dist-info/INSTALLER")
_SAME_TIME = (1980, 1, 1, 0, 0, 0)


class LayerMissingError(HaulError):
    """A layer has not been built from the present lock file."""


@dataclass(frozen=True)
class Layer:
    """A built layer. `fingerprint` stands for its contents."""

    contents: Contents
    architecture: Architecture
    archive: Path
    fingerprint: str

    @property
    def unpacked(self) -> Path:
        return self.archive.with_suffix("")


@dataclass(frozen=True)
class Layers:
    """The layers of one architecture."""

    common: Layer
    download: Layer

    @property
    def architecture(self) -> Architecture:
        return self.common.architecture

    def __iter__(self) -> Iterator[Layer]:
        yield self.common
        yield self.download


def built(architecture: Architecture) -> Layers:
    """Find the layers that `build` made.

    Raises:
        LayerMissingError: one is not there, or the lock file has changed since.
    """
    layers = _layers(architecture)
    for layer in layers:
        if not _is_current(layer):
            raise LayerMissingError(
                f"the {layer.contents} layer for {architecture} is not built from the present uv.lock; "
                f"do: make layer, or python -m infra.layer --arch {architecture}"
            )
    return layers


def build(architecture: Architecture) -> Layers:
    """Make the layers, but for those that are there and made from the same lock file."""
    layers = _layers(architecture)
    for layer in layers:
        if not _is_current(layer):
            _build(layer)
    return layers


def _build(layer: Layer) -> None:
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        root = Path(folder) / "layer"
        _install(root / "python", layer.contents, _PLATFORMS[layer.architecture])
        _strip(root / "python")
        compile_tree(root, at="/opt")
        archive = _zipped(root)
        _stamp(layer).unlink(missing_ok=True)
        archive.replace(layer.archive)
        shutil.rmtree(layer.unpacked, ignore_errors=True)
        root.replace(layer.unpacked)
    _stamp(layer).write_text(json.dumps({"fingerprint": layer.fingerprint}))


def _layers(architecture: Architecture) -> Layers:
    return Layers(_layer("common", architecture), _layer("download", architecture))


def _layer(contents: Contents, architecture: Architecture) -> Layer:
    names = f"{PYTHON} {contents} {architecture}".encode()
    made_of = ((ROOT / "uv.lock").read_bytes(), Path(__file__).read_bytes(), names)
    fingerprint = hashlib.sha256(b"\0".join(made_of)).hexdigest()
    return Layer(contents, architecture, BUILD / f"layer-{contents}-{architecture}.zip", fingerprint)


def _stamp(layer: Layer) -> Path:
    return layer.archive.with_suffix(".json")


def _is_current(layer: Layer) -> bool:
    stamp = _stamp(layer)
    return (
        layer.archive.is_file()
        and stamp.is_file()
        and json.loads(stamp.read_text())["fingerprint"] == layer.fingerprint
    )


def _install(target: Path, contents: Contents, platform: str) -> None:
    requirements = _uv("export", "--locked", "--no-emit-project", "--quiet", *_EXPORTS[contents])
    listing = target.parent.with_name("requirements.txt")
    listing.write_text(requirements)
    platform_options = ("--python-platform", platform, "--python-version", PYTHON, "--only-binary", ":all:")
    _uv("pip", "install", "--quiet", "--no-deps", "--target", str(target), *platform_options, "-r", str(listing))


def _uv(*arguments: str) -> str:
    uv = os.environ.get("UV", "uv")
    try:
        done = subprocess.run([uv, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise LayerMissingError(
            f"building the layer needs uv, and {uv} is not there; do: make layer, or set UV"
        ) from None
    except subprocess.CalledProcessError as error:
        raise LayerMissingError(f"uv {arguments[0]} failed:\n{error.stderr.strip()}") from None
    return done.stdout


def _strip(folder: Path) -> None:
    for pattern in _NOISE:
        for path in list(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _zipped(root: Path) -> Path:
    archive = root.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _SAME_TIME)
                entry.external_attr = 0o100644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                zipped.writestr(entry, path.read_bytes())
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.layer", description="Build the functions' dependencies.")
    parser.add_argument("--arch", choices=get_args(Architecture.__value__), help="without it, all that are deployed")
    chosen = parser.parse_args().arch
    wanted = {chosen} if chosen else {environment.load(name).resolved_architecture() for name in environment.names()}
    try:
        for architecture in sorted(wanted):
            for layer in build(architecture):
                size = layer.archive.stat().st_size / 1e6
                sys.stdout.write(f"{layer.archive.relative_to(ROOT)}  {size:.1f} MB zipped\n")
    except (LayerMissingError, OtherPythonError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
