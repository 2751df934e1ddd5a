"""What every command shares: output, errors as one sentence, and settings."""

import json
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec
from uuid import UUID

import typer
import uvloop
from rich.console import Console

from opaa.errors import OpaaError
from opaa.settings import InvalidSettingsError, Settings, load

P = ParamSpec("P")
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WorkspaceOption = Annotated[str | None, typer.Option("--workspace", "-w", help="Name or id of a workspace.")]
UserOption = Annotated[str, typer.Option("--user", help="Login or id of the account to act as.")]


class Globals:
    """Options that stand before the command."""

    config_file: Path | None = None


def settings(**overrides: Any) -> Settings:  # noqa: ANN401 - values of settings
    return load(config_file=Globals.config_file, **overrides)


def fail(message: str, code: int = 1) -> typer.Exit:
    """Print one sentence and give the exception that ends the command."""
    err.print(f"[bold red]Error:[/] {escape(message)}", highlight=False)
    return typer.Exit(code)


def escape(text: str) -> str:
    """Text that Rich must not read as markup."""
    return text.replace("[", "\\[")


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON is of any type
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def _plain(value: object) -> object:
    match value:
        case UUID() | Decimal():
            return str(value)
        case datetime():
            return value.isoformat()
        case _ if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def asynchronous(command: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async command; deliberate errors become one sentence and exit code 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with reported():
            uvloop.run(command(*args, **kwargs))

    return run


class reported:
    """Turns deliberate errors of its block into a sentence and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidSettingsError):
            for problem in error.problems[:-1]:
                fail(problem)
            raise fail(error.problems[-1]) from None
        if isinstance(error, OpaaError):
            raise fail(error.message) from None
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(130) from None
