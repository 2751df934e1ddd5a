"""No module but `egress` opens connections: a lint over every file of the product."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "opaa"
LIBRARIES = {
    "httpx", "httpx2", "httpcore", "httpcore2", "requests", "aiohttp", "urllib3", "socket", "ssl", "smtplib", "ftplib",
    "imaplib", "telnetlib", "http.client", "urllib.request", "asyncio.streams",
}  # fmt: skip
CALLS = {"open_connection", "create_connection", "open_unix_connection", "urlopen"}
# What may name such a library, what of it, and why.
ALLOWED = {
    "egress": "the one way out",
    "audit/shipping.py": "names errors and makes a TLS context; its connections are made by egress",
    "identity/oidc.py": "names errors and types; its clients are given the guarded transport",
    "identity/saml.py": "names errors; its client is given the guarded transport",
    "llm/endpoint_embedder.py": "names errors; its client is made by egress",
    "cli/run.py": "asks this very process whether it is ready, and binds the port",
    "db/embedded.py": "finds a free port for the embedded database",
}
CLIENTS = {"Client", "AsyncClient", "get", "post", "put", "request", "stream", "Session", "HTTPConnection"}
CLIENTS_ALLOWED = {"cli/run.py"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def allowed(place: str) -> bool:
    return any(place == each or place.startswith(each + "/") for each in ALLOWED)


@pytest.mark.req("SEC-10")
def test_nothing_else_opens_connections() -> None:
    found: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        place = file.relative_to(SOURCE).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for name in imports(tree):
            if name in LIBRARIES or name.partition(".")[0] in LIBRARIES:
                found.add(place.partition("/")[0] if place.startswith("egress/") else place)
                assert allowed(place), f"{place} imports {name}: use opaa.egress"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                ours = isinstance(owner, ast.Name) and owner.id == "egress"
                assert ours or node.func.attr not in CALLS or allowed(place), f"{place}: {node.func.attr}"
                if isinstance(owner, ast.Name) and owner.id in LIBRARIES and node.func.attr in CLIENTS:
                    assert place.startswith("egress/") or place in CLIENTS_ALLOWED, f"{place}: {ast.unparse(node.func)}"
    assert found == set(ALLOWED), "an entry of the list is not needed any more"
