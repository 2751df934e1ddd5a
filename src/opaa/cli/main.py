"""The command `opaa`.

Only the module of the command that is called is loaded, so that `opaa up` stays small and every command starts quickly.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from opaa import __version__
from opaa.cli.console import Globals

# Command → module and function in it; a group's module has an `app` instead of the function.
COMMANDS: Mapping[str, tuple[str, str | None]] = {
    "up": ("run", "up"),
    "serve": ("run", "serve"),
    "worker": ("run", "worker"),
    "ask": ("ask", "ask"),
    "search": ("ask", "search"),
    "eval": ("evaluate", "evaluate"),
    "workspace": ("workspace", None),
    "source": ("source", None),
    "user": ("user", None),
    "token": ("token", None),
    "index": ("index", None),
    "audit": ("audit", None),
    "group": ("group", None),
    "access": ("access", None),
    "service-account": ("service_account", None),
    "config": ("config", None),
    "db": ("db", None),
    "setup": ("run", "setup"),
}
HIDDEN = {"setup"}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def options(
    config_file: Annotated[
        Path | None, typer.Option("--config", envvar="OPAA_CONFIG", help="YAML file with settings.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Answers an organization's questions from its own documents, with citations."""
    Globals.config_file = config_file


def build(names: Iterable[str]) -> typer.Typer:
    """The command line with the commands `names`."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in names:
        module_name, function = COMMANDS[name]
        module = import_module(f"opaa.cli.{module_name}")
        if function is None:
            app.add_typer(module.app, name=name)
        else:
            app.command(name, hidden=name in HIDDEN)(getattr(module, function))
    return app


def called(arguments: Sequence[str]) -> Iterable[str]:
    """The command that is called; all of them when none is recognised, for the help and for suggestions."""
    rest = iter(arguments)
    for argument in rest:
        if argument in COMMANDS:
            return [argument]
        if argument == "--version":
            return []
        if argument == "--config":
            next(rest, None)
        elif not argument.startswith("--config="):
            break
    return COMMANDS


def main() -> None:
    """Entry point. A broken pipe (`opaa … | head`) is no error."""
    try:
        build(called(sys.argv[1:]))()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
