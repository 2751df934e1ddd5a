"""The command `opaa`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from opaa import __version__
from opaa.cli import ask, config, db, evaluate, index, run, source, token, user, workspace
from opaa.cli.console import Globals

app = typer.Typer(
    help="Answers an organization's questions from its own documents, with citations.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(run.up)
app.command("serve")(run.serve)
app.command("worker")(run.worker)
app.command("setup", hidden=True)(run.setup)
app.command("ask")(ask.ask)
app.command("search")(ask.search)
app.command("eval")(evaluate.evaluate)
app.add_typer(workspace.app, name="workspace")
app.add_typer(source.app, name="source")
app.add_typer(user.app, name="user")
app.add_typer(token.app, name="token")
app.add_typer(index.app, name="index")
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    config_file: Annotated[
        Path | None, typer.Option("--config", envvar="OPAA_CONFIG", help="YAML file with settings.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options before the command."""
    Globals.config_file = config_file


def main() -> None:
    """Entry point. A broken pipe (`opaa … | head`) is no error."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
