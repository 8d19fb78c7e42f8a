"""What the bench compares with and runs against, installed once below `build/bench`; what cannot be is a reason."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
_ENVIRONMENT = BUILD / "env"


class MissingError(Exception):
    """Something that a measurement needs is not here; says what."""


@dataclass(frozen=True)
class Tools:
    """Paths of what runs. Asking for what is missing raises `MissingError`."""

    python: Path
    rclone: Path
    aws: Path


@cache
def tools() -> Tools:
    """The environment of the others, made anew when its requirements change."""
    programs = _ENVIRONMENT / "bin"
    made = _ENVIRONMENT / "requirements.txt"
    if not made.exists() or made.read_bytes() != REQUIREMENTS.read_bytes():
        uv = _uv()
        python = Path(os.path.realpath(shutil.which("python3", path=ROOT / ".venv" / "bin") or "python3.13"))
        _run("the other tools", uv, "venv", "--quiet", "--clear", "--python", python, _ENVIRONMENT)
        install = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", programs / "python")
        _run("the other tools", *install, "--requirement", REQUIREMENTS)
        made.write_bytes(REQUIREMENTS.read_bytes())
    return Tools(programs / "python", programs / "rclone", programs / "aws")


@cache
def nginx() -> Path:
    """The system's nginx, or Debian's unpacked without root."""
    unpacked = BUILD / "nginx" / "usr" / "sbin" / "nginx"
    if found := shutil.which("nginx"):
        return Path(found)
    if unpacked.exists():
        return unpacked
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise MissingError("nginx is not installed, and apt-get is not here to fetch it")
    packages = BUILD / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    _run("nginx", "apt-get", "download", "--quiet", "nginx", cwd=packages)
    for package in packages.glob("nginx_*.deb"):
        _run("nginx", "dpkg", "--extract", package, BUILD / "nginx")
    return unpacked


def program(name: str) -> str:
    """A program of the system."""
    if found := shutil.which(name):
        return found
    raise MissingError(f"{name} is not installed")


def _uv() -> str:
    for candidate in (os.environ.get("UV"), "uv", ROOT / ".uv" / "bin" / "uv"):
        if not candidate:
            continue
        try:
            subprocess.run([candidate, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(candidate)
    raise MissingError("the other tools need uv to be installed")


def _run(what: str, *command: str | Path, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd, timeout=600)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:] or ["no reason given"]
        raise MissingError(f"{what} could not be installed: {last[0]}") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"{what} could not be installed in ten minutes") from None
