"""`opaa config …`."""

import typer
from rich.table import Table

from opaa.cli.console import Globals, JsonOption, err, escape, out, print_json, reported, settings
from opaa.settings.check import check as check_settings
from opaa.settings.check import shown
from opaa.settings.reference import reference as render_reference

app = typer.Typer(help="Settings, from the environment and a YAML file.", no_args_is_help=True)


@app.command("check")
def check(json: JsonOption = False) -> None:
    """Name every problem and every unsafe setting at once; exit code 1 when there is a problem."""
    report = check_settings(config_file=Globals.config_file)
    if json:
        print_json({"problems": report.problems, "warnings": report.warnings})
    for problem in report.problems if not json else []:
        err.print(f"[bold red]problem[/]  {escape(problem)}", highlight=False)
    for warning in report.warnings if not json else []:
        err.print(f"[yellow]warning[/]  {escape(warning)}", highlight=False)
    if report.problems:
        raise typer.Exit(1)
    if not json:
        for sentence in report.schedules:
            out.print(escape(sentence), highlight=False)
        out.print("The settings are fine." if not report.warnings else "The settings work.")


@app.command("show")
def show(json: JsonOption = False) -> None:
    """Print every setting as it is in force; secrets are not shown."""
    with reported():
        values = shown(settings())
    if json:
        print_json(values)
        return
    table = Table("Setting", "Value")
    for name, value in values.items():
        table.add_row(name, escape(value))
    out.print(table)


@app.command("reference")
def reference() -> None:
    """Print the reference page of all settings, in Markdown."""
    typer.echo(render_reference(), nl=False)
