"""The layers: stripped, compiled for where they will lie, and the same bytes each time."""

import hashlib
import marshal
import tomllib
import zipfile
from pathlib import Path

import pytest

from infra import layer


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Building without uv: a package like those that uv installs. The builds' folder."""

    def install(target: Path, contents: layer.Contents, platform: str) -> None:
        for name in ("pkg/__init__.py", "pkg/tests/test_pkg.py", "pkg/__init__.pyi", "bin/pkg"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(f"WHERE = {contents!r}, {platform!r}\n")
        for name in ("METADATA", "RECORD", "INSTALLER"):
            (target / "pkg-1.dist-info").mkdir(exist_ok=True)
            (target / "pkg-1.dist-info" / name).write_text(name)

    monkeypatch.setattr(layer, "_install", install)
    monkeypatch.setattr(layer, "BUILD", tmp_path / "build")
    return tmp_path / "build"


def test_a_layer_holds_modules_their_bytecode_and_no_noise(installed: Path) -> None:
    layer.build("arm64")

    assert set(zipfile.ZipFile(installed / "layer-common-arm64.zip").namelist()) == {
        "python/pkg/__init__.py",
        "python/pkg/__pycache__/__init__.cpython-313.pyc",
        "python/pkg-1.dist-info/METADATA",
    }
    assert (installed / "layer-common-arm64/python/pkg/__init__.py").exists()


def test_bytecode_is_taken_without_a_look_at_the_file_it_came_from(installed: Path) -> None:
    """In Lambda the times of files are not those of the build, and the folder is read-only."""
    layer.build("arm64")

    pyc = zipfile.ZipFile(installed / "layer-common-arm64.zip").read("python/pkg/__pycache__/__init__.cpython-313.pyc")
    unchecked_hash = 0b01

    assert int.from_bytes(pyc[4:8], "little") == unchecked_hash
    assert marshal.loads(pyc[16:]).co_filename == "/opt/python/pkg/__init__.py"  # noqa: S302 - our own bytes


def test_the_same_lock_file_makes_the_same_bytes(installed: Path) -> None:
    archive = layer.build("arm64").common.archive
    first = hashlib.sha256(archive.read_bytes()).digest()
    (installed / "layer-common-arm64.json").unlink()

    layer.build("arm64")

    assert hashlib.sha256(archive.read_bytes()).digest() == first


def test_layers_are_built_once_for_a_lock_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made = layer.build("arm64")
    monkeypatch.setattr(layer, "_install", lambda *_: pytest.fail("built again"))

    assert layer.build("arm64") == made
    assert layer.built("arm64") == made
    with pytest.raises(layer.LayerMissingError, match="--arch x86_64"):
        layer.built("x86_64")


def test_one_that_is_gone_is_missed_and_built_without_the_other(installed: Path) -> None:
    common = layer.build("arm64").common.archive
    before = common.stat().st_ino
    (installed / "layer-download-arm64.zip").unlink()

    with pytest.raises(layer.LayerMissingError, match="the download layer for arm64"):
        layer.built("arm64")
    layer.build("arm64")

    assert layer.built("arm64").download.archive.exists()
    assert common.stat().st_ino == before


def test_awscrt_is_in_the_layer_of_downloads_alone() -> None:
    """botocore imports it wherever it finds it."""
    project = tomllib.loads((layer.ROOT / "pyproject.toml").read_text())

    assert [each.partition(">=")[0] for each in project["dependency-groups"]["download"]] == ["awscrt"]
    assert not [each for each in project["project"]["dependencies"] if each.startswith("awscrt")]
