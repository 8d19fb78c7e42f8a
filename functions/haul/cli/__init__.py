"""The command line for operators; it is not deployed."""


def main() -> None:
    from haul.cli.app import app  # noqa: PLC0415 - whoever imports a part of this room needs no typer

    app()
