"""The first schema: tenants, people, sources, documents, the index, conversations, jobs, usage, audit."""

from pathlib import Path

import psycopg
from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None


def upgrade() -> None:
    # Many statements with bodies of their own: handed to the server as they are, without parameters.
    connection = op.get_bind().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)  # noqa: S101 - narrows the type
    connection.execute(SchemaManager.get_schema().encode())
    connection.execute(Path(__file__).with_suffix(".sql").read_bytes())
