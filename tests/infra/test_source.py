"""The source that is deployed: all that functions need, compiled, and nothing that only people use."""

import marshal
from pathlib import Path

from infra.source import staged

HAUL = Path(__file__).parents[2] / "functions" / "haul"


def deployed() -> set[str]:
    folder = staged().folder
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_module_but_the_command_lines_is_deployed_with_its_bytecode() -> None:
    wanted = {path for path in HAUL.rglob("*.py") if not path.is_relative_to(HAUL / "cli")}
    sources = {path.relative_to(HAUL.parent).as_posix() for path in wanted}
    compiled = {
        (path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc").relative_to(HAUL.parent).as_posix()
        for path in wanted
    }

    assert {name for name in deployed() if name.endswith((".py", ".pyc"))} == sources | compiled


def test_schemas_are_deployed_too() -> None:
    assert "haul/schemas/event.v1.json" in deployed()


def test_bytecode_is_of_where_it_will_lie() -> None:
    pyc = (staged().folder / "haul" / "__pycache__" / "jobs.cpython-313.pyc").read_bytes()
    unchecked_hash = 0b01

    assert int.from_bytes(pyc[4:8], "little") == unchecked_hash
    assert marshal.loads(pyc[16:]).co_filename == "/var/task/haul/jobs.py"  # noqa: S302 - our own bytes


def test_the_same_source_has_the_same_fingerprint() -> None:
    first = staged().fingerprint
    staged.cache_clear()

    assert staged().fingerprint == first
