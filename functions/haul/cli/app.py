"""The commands of `haul`: what each takes. What it does is in the module that it calls.

`--env` and `--json` may stand before or after a command: `_command` adds them to each.
"""

# ruff: noqa: PLC0415 - a command imports what it needs, so that `haul --help` does not load boto3 and every model

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from haul.cli.invocation import Invocation
    from haul.cli.output import Output

type Act = Callable[..., int]

app = typer.Typer(
    name="haul",
    help="Export and load jobs of SaaS vendors, by way of S3.",
    epilog="Exit status: 0 good, 1 failed, 2 usage, 3 nothing new, 4 partial, 5 refused (quota).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
_secret = typer.Typer(help="The credentials of a connection.", no_args_is_help=True)
app.add_typer(_secret, name="secret")

_Env = Annotated[
    str | None,
    typer.Option("--env", "-e", envvar="HAUL_ENV", metavar="NAME", help="dev, prod, local", show_default=False),
]
# Behind a command without the variable: it would win over an --env that stands before the command.
_EnvAfter = Annotated[
    str | None, typer.Option("--env", "-e", metavar="NAME", help="dev, prod, local", show_default=False)
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else there.")]
_Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end; the exit status says how it ended.")]
_Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run id, or its beginning, or pipeline/run.", show_default=False)
]
_Pipeline = Annotated[
    str, typer.Argument(metavar="PIPELINE|EVENT", help="A deployed pipeline, or a file.", show_default=False)
]
_Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stays with the run.", show_default=False)]


@app.callback()
def _haul(context: typer.Context, env: _Env = None, as_json: _Json = False) -> None:  # noqa: FBT002 - typer's flag
    from haul.cli.invocation import Invocation

    context.obj = context.obj or Invocation()
    context.obj.environment = env or context.obj.environment
    context.obj.as_json = as_json


def _command(group: typer.Typer, name: str, **settings: Any) -> Callable[[Act], Act]:
    """Register a command that takes its invocation and its output first, and returns its exit status."""

    def register(act: Act) -> Act:
        own = list(inspect.signature(act).parameters.values())[2:]

        @wraps(act)
        def command(context: typer.Context, env: str | None, as_json: bool, **given: Any) -> None:  # noqa: FBT001 - typer's
            invocation: Invocation = context.obj
            invocation.environment = env or invocation.environment
            invocation.as_json = as_json or invocation.as_json
            raise typer.Exit(invocation.run(lambda out: act(invocation, out, **given)))

        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            *own,
            inspect.Parameter("env", keyword, default=None, annotation=_EnvAfter),
            inspect.Parameter("as_json", keyword, default=False, annotation=_Json),
        ]
        command.__signature__ = inspect.Signature(added)  # type: ignore[attr-defined]  # what inspect reads first
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in added}
        group.command(name, **settings)(command)
        return act

    return register


@_command(app, "validate")
def _validate(
    invocation: "Invocation",  # noqa: ARG001 - every command takes it
    out: "Output",
    *,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="Events and pipelines; without any, all of the project.", show_default=False
        ),
    ] = None,
) -> int:
    """Check event and pipeline files; no network.

    Schema, names, symbols, every environment.
    """
    from haul.cli.validating import validate

    return validate(files or [], out)


@_command(app, "plan")
def _plan(invocation: "Invocation", out: "Output", *, what: _Pipeline) -> int:
    """Say what a run would do now; spends nothing."""
    from haul.cli import documents, planning

    deployment = invocation.deployment()
    event = documents.event_of(what, deployment)
    return planning.plan(event, deployment, out)


@_command(app, "doctor")
def _doctor(
    invocation: "Invocation",
    out: "Output",
    *,
    connection: Annotated[
        str | None,
        typer.Argument(metavar="[CONNECTION]", help="Without one, all that pipelines use.", show_default=False),
    ] = None,
    vendor: Annotated[
        str | None,
        typer.Option(metavar="VENDOR", help="Of a connection that no pipeline uses yet.", show_default=False),
    ] = None,
) -> int:
    """Check a connection: can it do its work?

    Its secret, login, rights, the calls and submissions that are left; and whether the landing bucket takes a document.
    """
    from haul.cli.doctor import doctor

    return doctor(connection, vendor, invocation.deployment(), out)


@_command(app, "run")
def _run(
    invocation: "Invocation",
    out: "Output",
    *,
    what: _Pipeline,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Such as request.dataVersionNumber=7000004.", show_default=False
        ),
    ] = None,
    reason: _Reason = None,
    watch: _Watch = False,
) -> int:
    """Start a run now.

    What is wrong with it is said before anything is started.
    """
    from haul.cli import running

    return running.run(what, invocation.deployment(), out, settings=settings or [], reason=reason, watch=watch)


@_command(app, "runs")
def _runs(
    invocation: "Invocation",
    out: "Output",
    *,
    pipeline: Annotated[str | None, typer.Argument(metavar="[PIPELINE]", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> int:
    """List runs, the newest first."""
    from haul.cli import runs

    return runs.list_runs(pipeline, invocation.deployment(), out, limit=limit)


@_command(app, "show")
def _show(invocation: "Invocation", out: "Output", *, run: _Run) -> int:
    """Show a run, and what to do about it."""
    from haul.cli import runs

    deployment = invocation.deployment()
    return runs.show(runs.find_run(run, deployment), deployment, out)


@_command(app, "watch")
def _watch(invocation: "Invocation", out: "Output", *, run: _Run) -> int:
    """Follow a run to its end.

    The exit status says how it ended. Interrupted with Ctrl-C, the run goes on.
    """
    from haul.cli import running, runs

    deployment = invocation.deployment()
    return running.watch(runs.find_run(run, deployment), deployment, out)


@_command(app, "cancel")
def _cancel(invocation: "Invocation", out: "Output", *, run: _Run, reason: _Reason = None) -> int:
    """Stop a run, and the vendor's job where possible."""
    from haul.cli import running, runs

    deployment = invocation.deployment()
    return running.cancel(runs.find_run(run, deployment), deployment, out, reason=reason)


@_command(app, "rerun")
def _rerun(
    invocation: "Invocation",
    out: "Output",
    *,
    run: _Run,
    resubmit: Annotated[
        bool, typer.Option("--resubmit", help="Submit again, although there is a result or a job in doubt.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Read the links of the vendor's mail from standard input, one per line.")
    ] = False,
    watch: _Watch = False,
) -> int:
    """Start the next attempt of a failed run.

    It adopts the vendor's job and keeps the files that are verified, wherever it can.
    """
    from haul.cli import running, runs

    deployment = invocation.deployment()
    return running.rerun(runs.find_run(run, deployment), deployment, out, resubmit=resubmit, link=link, watch=watch)


@_command(app, "call", context_settings={"ignore_unknown_options": True})
def _call(
    invocation: "Invocation",
    out: "Output",
    *,
    vendor: Annotated[str, typer.Argument(metavar="VENDOR", show_default=False)],
    operation: Annotated[
        str | None, typer.Argument(metavar="[OPERATION]", help="Without one, they are listed.", show_default=False)
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...", help="Or --NAME VALUE; a list's name as often as needed.", show_default=False
        ),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Without one, the one that pipelines use.", show_default=False)
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Act as this pipeline does: its connection, its tenant.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before something is changed.")] = False,
) -> int:
    """Make one of a vendor's own calls.

    What changes something is shown first, and asked about. The exit status says whether all of it was done.
    """
    from haul.cli.calling import call, list_calls

    if operation is None:
        return list_calls(vendor, out)
    deployment = invocation.deployment()
    return call(vendor, operation, arguments or [], deployment, out, connection=connection, pipeline=pipeline, yes=yes)


@_command(_secret, "set")
def _secret_set(
    invocation: "Invocation",
    out: "Output",
    *,
    connection: Annotated[str, typer.Argument(metavar="CONNECTION", show_default=False)],
    vendor: Annotated[
        str | None,
        typer.Option(metavar="VENDOR", help="Of a connection that no pipeline uses yet.", show_default=False),
    ] = None,
) -> int:
    """Create or update a connection's secret.

    Asks for each field, or reads a JSON object from standard input where that is no terminal.
    """
    from haul.cli.secret import set_secret

    return set_secret(connection, vendor, invocation.deployment(), out)
