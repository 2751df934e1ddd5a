"""The database stops and comes back while the API runs."""

from pathlib import Path

from opaa.db import migrate
from opaa.db.embedded import EmbeddedPostgres
from opaa.db.session import Database
from tests.conftest import create_tenant
from tests.integration.api.conftest import assert_problem, make_runtime, serving


async def test_the_api_says_so_and_recovers_by_itself(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    urls = server.acquire()
    migrate.upgrade(urls.owner, urls.application)
    database = Database(urls.application, pool_size=2)
    tenant = await create_tenant(database)
    async with serving(make_runtime(database, tenant, tmp_path), tenant, tmp_path) as api:
        await api.user("boss", "owner")
        client = await api.log_in("boss")
        assert (await client.get("/readyz")).status_code == 200
        server.release()
        for _ in range(3):
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (503, "down")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/healthz")).status_code == 503
        assert (await client.get("/metrics")).status_code == 200
        for path in ("/api/v1/auth/me", "/api/v1/search?q=x", "/api/v1/documents"):
            problem = assert_problem(await client.get(path), 503, "database-unavailable")
            assert "postgresql://" not in problem["detail"]
        stopped = await client.post("/api/v1/ask", json={"question": "x?"})
        assert_problem(stopped, 503)
        assert int(stopped.headers["retry-after"]) > 0
        server.acquire()
        for path in ("/readyz", "/api/v1/auth/me", "/api/v1/documents"):
            assert (await client.get(path)).status_code == 200
    await database.close()
    server.release()
