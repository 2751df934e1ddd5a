"""Nobody in the code steps around the tenant context: who sees a whole organization, or none, is listed here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "opaa"

# Works on a whole organization: jobs, the operator's commands, and changes that a person was allowed before.
SYSTEM = {
    "access/service.py": "deletes a workspace with what nobody may read",
    "api/v1/documents.py": "sets an ACL, after `own_workspace` allowed it",
    "api/v1/sources.py": "decides all documents of a source anew, after `own_source` allowed it",
    "api/v1/workspaces.py": "creates partitions; decides all documents of a workspace anew",
    "audit/chain.py": "seals and verifies all rows",
    "audit/shipping.py": "ships all sealed rows",
    "cli/access.py": "the operator's",
    "cli/audit.py": "the operator's",
    "cli/index.py": "the operator's",
    "cli/source.py": "the operator's",
    "cli/workspace.py": "the operator's",
    "db/session.py": "defines it",
    "indexing/documents.py": "removes documents, after the caller checked",
    "indexing/jobs.py": "the schedule",
    "indexing/pipeline.py": "indexing",
    "indexing/samples.py": "the sample documents",
    "tenancy/service.py": "creates an organization",
}
# No context: sees no tenant's row.
NONE = {
    "api/health.py": "asks whether the database answers",
    "db/session.py": "looks at the role",
    "indexing/jobs.py": "the queue, which holds ids only",
    "tenancy/service.py": "finds an organization by the guarded functions",
}
CONNECTORS = {"create_async_engine", "create_engine", "connect", "AsyncConnectionPool", "ConnectionPool"}
CONNECTING = {"db/", "indexing/queue.py"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(SOURCE).as_posix(), node


def name(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.req("SEC-7")
def test_the_system_context_is_used_where_it_is_listed_and_nowhere_else() -> None:
    used = {file for file, call in calls() if name(call).endswith("TenantContext.system")}
    every = {file for file in used if file != "db/session.py"}
    assert every == set(SYSTEM) - {"db/session.py"}


@pytest.mark.req("SEC-7")
def test_sessions_without_a_context_are_listed() -> None:
    found = set()
    for file, call in calls():
        if name(call).rsplit(".", 1)[-1] in {"session", "transaction"} and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and first.value is None:
                found.add(file)
    assert found == set(NONE)


@pytest.mark.req("SEC-7")
def test_only_the_session_factory_connects_to_the_database() -> None:
    for file, call in calls():
        called = name(call)
        if called.rsplit(".", 1)[-1] in CONNECTORS and ("psycopg" in called or "engine" in called or "Pool" in called):
            assert any(file.startswith(allowed) for allowed in CONNECTING), f"{file}:{call.lineno} {called}"
