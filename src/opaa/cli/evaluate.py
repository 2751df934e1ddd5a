"""`opaa eval`."""

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import select

from opaa.api.dependencies import workspace_ids
from opaa.cli.console import JsonOption, UserOption, WorkspaceOption, asynchronous, err, escape, out, print_json
from opaa.cli.opened import acting_as, runtime
from opaa.indexing.models import Document
from opaa.retrieval import evaluation
from opaa.retrieval.evaluation import Report, Score


@asynchronous
async def evaluate(
    golden: Annotated[Path, typer.Argument(help="JSON: a list of {id, query, expected_documents, category}.")],
    workspace: WorkspaceOption = None,
    *,
    user: UserOption = "admin",
    report: Annotated[Path | None, typer.Option("--report", help="Write the whole result there, as JSON.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure retrieval on a golden set: hit@5, MRR, nDCG@10 and recall@10, overall and by category."""
    questions = evaluation.read_golden(golden)
    async with runtime() as opened:
        identity = await acting_as(opened, user)
        chosen = workspace_ids(identity, workspace)
        async with opened.database.session(identity.context) as session:
            query = select(Document.uri).where(Document.workspace_id.in_(chosen))
            known = {evaluation.file_name(uri) for uri in await session.scalars(query)}

        async def search(question: str) -> tuple[Sequence[str], float]:
            async with opened.database.session(identity.context) as session:
                result = await opened.search.search(
                    session, identity.context, question, workspace_ids=chosen, limit=evaluation.DEPTH
                )
            return [hit.uri for hit in result.hits], result.took_ms

        measured = await evaluation.evaluate(questions, search, known)
    if report is not None:
        report.write_text(json_module.dumps(measured.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if json:
        print_json(measured.to_json())
    else:
        _print(measured)


def _print(report: Report) -> None:
    table = Table("Category", "Questions", "hit@5", "MRR", "nDCG@10", "recall@10")
    for name, score in report.categories.items():
        table.add_row(escape(name), *_cells(score))
    table.add_section()
    table.add_row("[bold]overall[/]", *_cells(report.overall))
    out.print(table)
    for result in report.results:
        if result.rank is None:
            out.print(f"not found: {escape(result.id)}  [dim]{escape(result.query)}[/]", highlight=False)
    if report.missing_documents:
        names = ", ".join(report.missing_documents[:10])
        more = f" and {len(report.missing_documents) - 10} more" if len(report.missing_documents) > 10 else ""
        err.print(f"[yellow]Expected, but not in the index: {escape(names)}{more}[/]", highlight=False)


def _cells(score: Score) -> list[str]:
    values = (score.hit_at_5, score.mrr, score.ndcg_at_10, score.recall_at_10)
    return [str(score.questions), *(f"{value:.3f}" for value in values)]
