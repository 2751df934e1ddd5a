"""The sample documents: two workspaces to try OPAA with."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import select

import opaa
from opaa.access.models import Workspace
from opaa.access.service import create_workspace
from opaa.db.session import Database, TenantContext
from opaa.errors import NotFoundError
from opaa.indexing.runs import queue_run
from opaa.sources.models import FILESYSTEM, Source
from opaa.sources.service import create_source

WORKSPACES = {"company": "Company", "engineering": "Engineering"}


def samples_dir() -> Path:
    """Inside the installed package, or beside the sources in a checkout."""
    package = Path(opaa.__file__).parent
    for folder in (package / "samples", package.parent.parent / "samples"):
        if (folder / "company").is_dir():
            return folder
    raise NotFoundError("The sample documents are not installed")


async def connect_samples(database: Database, organization_id: UUID) -> None:
    """Create the sample workspaces and sources where they are missing, and queue their indexing."""
    root = samples_dir()
    async with database.transaction(TenantContext.system(organization_id)) as session:
        for folder, name in WORKSPACES.items():
            workspace = await session.scalar(select(Workspace).where(Workspace.name == name))
            if workspace is None:
                workspace = await create_workspace(session, organization_id, name)
            source_name = f"Samples: {name}"
            source = await session.scalar(select(Source).where(Source.name == source_name))
            if source is None:
                source = await create_source(
                    session,
                    "system",
                    workspace,
                    kind=FILESYSTEM,
                    name=source_name,
                    settings={"path": str(root / folder)},
                )
            await queue_run(session, "system", source)
