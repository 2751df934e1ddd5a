"""`opaa ask` and `opaa search`."""

from typing import Annotated

import typer
from rich.panel import Panel

from opaa.answering.service import Answer, Delta
from opaa.api.dependencies import workspace_ids
from opaa.api.schemas import results_out
from opaa.api.v1.ask import answer_out
from opaa.cli.console import JsonOption, UserOption, WorkspaceOption, asynchronous, err, escape, out, print_json
from opaa.cli.opened import acting_as, runtime
from opaa.errors import TooLargeError

SHOWN_CHARS = 300


@asynchronous
async def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    workspace: WorkspaceOption = None,
    user: UserOption = "admin",
    json: JsonOption = False,
) -> None:
    """Ask a question and get an answer with its sources."""
    async with runtime() as opened:
        identity = await acting_as(opened, user)
        chosen = workspace_ids(identity, workspace) if workspace else None
        answer: Answer | None = None
        streamed = ""
        async for event in opened.answers.ask(identity, question, workspace_ids=chosen):
            if isinstance(event, Delta):
                streamed += event.text
                if not json:
                    out.print(escape(event.text), end="", highlight=False)
            elif isinstance(event, Answer):
                answer = event
    if answer is None:
        return
    if json:
        print_json(answer_out(answer))
        return
    if answer.answer != streamed.strip():
        out.print(("\n\n" if streamed else "") + escape(answer.answer), highlight=False, end="")
    out.print("\n")
    if answer.degraded_detail:
        err.print(f"[yellow]{escape(answer.degraded_detail)}[/]")
    for marker, title, uri in dict.fromkeys((c.marker, c.title, c.uri) for c in answer.citations):
        out.print(f"  [bold]\\[{marker}][/] {escape(title)}  [dim]{escape(uri)}[/]", highlight=False)
    for hit in answer.nearest:
        out.print(f"  nearest: {escape(hit.title)}  [dim]{escape(hit.uri)}[/]", highlight=False)


@asynchronous
async def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100)] = 10,
    workspace: WorkspaceOption = None,
    user: UserOption = "admin",
    json: JsonOption = False,
) -> None:
    """Find the best documents, without an answer."""
    async with runtime() as opened:
        longest = opened.settings.max_question_chars
        if len(query) > longest:
            raise TooLargeError(f"The question has {len(query):,} characters; the limit is {longest:,}")
        identity = await acting_as(opened, user)
        async with opened.database.session(identity.context) as session:
            result = await opened.search.search(
                session,
                identity.context,
                query,
                workspace_ids=workspace_ids(identity, workspace),
                limit=limit,
            )
    if json:
        print_json({"results": results_out(result.hits), "took_ms": result.took_ms, "degraded": result.degraded})
        return
    if result.degraded:
        err.print(f"[yellow]Part of the search was not available: {escape(result.degraded)}[/]")
    if not result.hits:
        out.print("Nothing found.")
    for number, hit in enumerate(result.hits, 1):
        place = " › ".join(hit.heading_path)
        text = hit.text[:SHOWN_CHARS] + ("…" if len(hit.text) > SHOWN_CHARS else "")
        title = f"{number}. {escape(hit.title)}  [dim]{hit.score:.3f}[/]"
        out.print(
            Panel(escape(text), title=title, title_align="left", subtitle=f"[dim]{escape(hit.uri)} {escape(place)}[/]")
        )
