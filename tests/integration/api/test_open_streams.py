"""A stream that is open ends when the right to it does: within seconds, whatever took it away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from opaa.api.v1 import ask
from opaa.db.session import Database
from opaa.llm.chat import OpenAIChatModel
from tests.conftest import Tenant
from tests.fakes.openai_server import Chat, FakeOpenAI
from tests.integration.api.conftest import Api, make_runtime, serving

WORDS = 80
FILES = {
    "leave.md": "# Parental leave\n\nParental leave lasts twelve months. It is paid for six months.\n",
    "printer.md": "# Printer\n\nThe printer stands on the third floor. Toner is in the cupboard.\n",
    "canteen.md": "# Canteen\n\nOn Thursdays there is soup of pumpkins.\n",
}
QUESTION = {"question": "How long does parental leave last?"}


@pytest.fixture
async def slow(database: Database, tenant: Tenant, tmp_path: Path) -> AsyncIterator[tuple[Api, FakeOpenAI]]:
    """An installation whose model takes four seconds for an answer."""
    with FakeOpenAI() as server:
        server.chat = Chat(text="word " * WORDS + "[1].", delay_between_tokens_s=0.05)
        model = OpenAIChatModel(base_url=server.base_url, model="fake-model", api_key=server.api_key)
        async with serving(make_runtime(database, tenant, tmp_path, model), tenant, tmp_path) as api:
            await api.index(FILES)
            yield api, server
        await model.close()


@pytest.mark.req("SEC-5", "SEC-6")
@pytest.mark.parametrize("how", ["session", "account", "membership", "token"])
async def test_an_answer_is_not_written_on(
    slow: tuple[Api, FakeOpenAI], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    api, server = slow
    monkeypatch.setattr(ask, "CHECK_AGAIN_AFTER_S", 0.2)
    user = await api.user("ada")
    client = await api.bearer(user, "ask") if how == "token" else await api.log_in("ada")
    client.timeout = httpx.Timeout(60)
    asking = asyncio.create_task(client.post("/api/v1/ask", json=QUESTION, headers={"Accept": "text/event-stream"}))
    async with asyncio.timeout(20):
        while not server.requests:  # noqa: ASYNC110 - the model is another thread
            await asyncio.sleep(0.05)
    statements = {
        "session": "DELETE FROM sessions WHERE user_id = :user",
        "account": "UPDATE users SET disabled_at = now() WHERE id = :user",
        "membership": "DELETE FROM workspace_members WHERE user_id = :user",
        "token": "UPDATE api_tokens SET revoked_at = now() WHERE user_id = :user",
    }
    async with api.runtime.database.transaction(api.tenant.system) as session:
        await session.execute(text(statements[how]), {"user": user.id})
    answer = await asking
    assert answer.status_code == 200
    assert "event: error" in answer.text
    assert "event: done" not in answer.text
    expected = "permission-denied" if how == "membership" else "authentication"
    assert f'"code":"{expected}"' in answer.text
    assert answer.text.count("event: delta") < WORDS / 2


@pytest.mark.req("SEC-5")
async def test_the_same_stream_ends_well_for_whoever_keeps_the_right(
    slow: tuple[Api, FakeOpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, server = slow
    server.chat = Chat(text="Twelve months [1].", delay_between_tokens_s=0.2)
    monkeypatch.setattr(ask, "CHECK_AGAIN_AFTER_S", 0.1)
    await api.user("ada")
    client = await api.log_in("ada")
    answer = await client.post("/api/v1/ask", json=QUESTION, headers={"Accept": "text/event-stream"})
    assert "event: done" in answer.text
    assert "event: error" not in answer.text


@pytest.mark.req("SEC-7")
async def test_nobody_reads_or_stops_what_is_anothers(api: Api) -> None:
    """Runs and conversations of others do not exist, whatever is done with their ids."""
    await api.user("ada")
    ada = await api.log_in("ada")
    source = await api.index({"a.md": "# A\n\nWords about bees.\n"})
    asked = (await ada.post("/api/v1/ask", json={"question": "bees?"})).json()
    stranger_user = await api.user("stranger", member=False)
    assert isinstance(stranger_user.id, UUID)
    stranger = await api.log_in("stranger")
    conversation, message = asked["conversation_id"], asked["message_id"]
    attempts = [
        ("GET", f"/api/v1/conversations/{conversation}", None),
        ("PATCH", f"/api/v1/conversations/{conversation}", {"title": "x"}),
        ("DELETE", f"/api/v1/conversations/{conversation}", None),
        ("POST", "/api/v1/ask", {"question": "bees?", "conversation_id": conversation}),
        ("POST", "/api/v1/feedback", {"message_id": message, "rating": "up"}),
        ("POST", f"/api/v1/sources/{source.id}/sync", {}),
        ("POST", f"/api/v1/sources/{source.id}/cancel", {}),
        ("GET", f"/api/v1/sources/{source.id}", None),
    ]
    for method, path, body in attempts:
        answer = await stranger.request(method, path, json=body)
        assert answer.status_code in {403, 404, 405, 422}, (path, answer.text)
        assert "bees" not in answer.text.replace("bees?", "")
    assert (await ada.get(f"/api/v1/conversations/{conversation}")).status_code == 200
