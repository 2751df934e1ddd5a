"""`opaa eval`."""

from pathlib import Path
from typing import Annotated

import typer

from opaa.cli.console import JsonOption, UserOption, WorkspaceOption, asynchronous


@asynchronous
async def evaluate(
    golden: Annotated[Path, typer.Argument(help="JSON: a list of {id, query, expected_documents, category}.")],
    workspace: WorkspaceOption = None,
    user: UserOption = "admin",
    json: JsonOption = False,
) -> None:
    """Measure retrieval on a golden set: hit@5, MRR, nDCG@10 and recall@10, overall and by category."""
    raise NotImplementedError
