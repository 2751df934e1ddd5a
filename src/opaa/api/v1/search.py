"""Search without an answer."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from opaa.api.dependencies import MaySearch, RuntimeDependency, SessionDependency, WorkspaceQuery, workspace_ids
from opaa.api.schemas import SearchResultOut, results_out
from opaa.audit import service as audit
from opaa.errors import TooLargeError

router = APIRouter(tags=["search"])


class SearchOut(BaseModel):
    """`degraded` says which half of the search was not available."""

    results: list[SearchResultOut]
    took_ms: float
    degraded: str | None


@router.get("/search")
async def search(
    q: Annotated[str, Query(description="What to look for.")],
    identity: MaySearch,
    runtime: RuntimeDependency,
    session: SessionDependency,
    *,
    workspace: WorkspaceQuery = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> SearchOut:
    """The best documents that you may read, each once with its best passages."""
    longest = runtime.settings.max_question_chars
    if len(q) > longest:
        raise TooLargeError(f"The question has {len(q):,} characters; the limit is {longest:,}")
    result = await runtime.search.search(
        session, identity.context, q, workspace_ids=workspace_ids(identity, workspace), limit=limit
    )
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "search",
        details={"documents": sorted(str(hit.document_id) for hit in result.hits)},
    )
    await session.commit()
    return SearchOut(results=results_out(result.hits), took_ms=result.took_ms, degraded=result.degraded)
