"""What each resource of the API does, and what it says about bad input."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.api.conftest import Api, assert_problem

SOME_ID = "01900000-0000-7000-8000-000000000000"
TEXT = "# Printer\n\nThe printer stands on the third floor. It prints in colour.\n\n## Paper\n\nIn the cupboard.\n"


@pytest.fixture
async def boss(api: Api) -> httpx.AsyncClient:
    await api.user("boss", "owner")
    return await api.log_in("boss")


def events(body: str) -> list[tuple[str, Any]]:
    found = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        name = re.search(r"^event: (.*)$", block, re.MULTILINE)
        if name:
            found.append((name[1], json.loads("".join(re.findall(r"^data: (.*)$", block, re.MULTILINE)))))
    return found


@pytest.mark.req("RAG-5", "RAG-2", "API-1")
async def test_a_question_is_answered_as_json_and_as_a_stream_alike(api: Api, boss: httpx.AsyncClient) -> None:
    await api.index({"printer.md": TEXT, "other.md": "# Lunch\n\nLunch is at noon."})
    question = {"question": "On which floor is the printer?", "workspace": "main"}
    answer = (await boss.post("/api/v1/ask", json=question)).json()
    assert "third floor" in answer["answer"]
    assert answer["found"]
    assert answer["grounded"]
    assert answer["model"] == "extractive"
    assert answer["usage"]["cost"] == "0"
    streamed = await boss.post("/api/v1/ask", json=question, headers={"Accept": "text/event-stream"})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    found = events(streamed.text)
    names = [name for name, _ in found]
    assert names[0] == "status"
    assert names[-1] == "done"
    assert names.index("sources") < names.index("delta") < names.index("citation") < names.index("done")
    done = found[-1][1]
    assert done["answer"] == answer["answer"]
    assert [data["citation"] for name, data in found if name == "citation"] == done["citations"]
    stored = (await boss.get(f"/api/v1/conversations/{done['conversation_id']}")).json()
    assert [message["role"] for message in stored["messages"]] == ["user", "assistant"]
    message = stored["messages"][1]
    assert message["id"] == done["message_id"]
    assert message["content"] == done["answer"]
    assert {key: message["answer"][key] for key in done if key != "nearest"} == {
        key: value for key, value in done.items() if key != "nearest"
    }


@pytest.mark.req("RAG-2")
async def test_citations_point_at_the_very_characters_of_their_document(api: Api, boss: httpx.AsyncClient) -> None:
    await api.index({"printer.md": "Ünïcödé 🖨️ first.\n\n" + TEXT})
    answer = (await boss.post("/api/v1/ask", json={"question": "On which floor is the printer?"})).json()
    assert answer["citations"]
    for citation in answer["citations"]:
        text = (await boss.get(f"/api/v1/documents/{citation['document_id']}/text")).json()["text"]
        assert text[citation["start_offset"] : citation["end_offset"]] == citation["quote"]
        assert f"[{citation['marker']}]" in answer["answer"]


@pytest.mark.req("RAG-3", "RAG-4")
async def test_a_conversation_goes_on_is_renamed_judged_and_deleted(api: Api, boss: httpx.AsyncClient) -> None:
    await api.index({"printer.md": TEXT})
    first = (await boss.post("/api/v1/ask", json={"question": "Where is the printer?"})).json()
    url = f"/api/v1/conversations/{first['conversation_id']}"
    more = {"question": "And the paper?", "conversation_id": first["conversation_id"]}
    second = (await boss.post("/api/v1/ask", json=more)).json()
    assert second["conversation_id"] == first["conversation_id"]
    for rating, comment in (("up", ""), ("down", "No.")):
        judged = {"message_id": second["message_id"], "rating": rating, "comment": comment}
        assert (await boss.post("/api/v1/feedback", json=judged)).status_code == 204
    assert (await boss.patch(url, json={"title": "  Office   things "})).json()["title"] == "Office things"
    whole = (await boss.get(url)).json()
    assert len(whole["messages"]) == 4
    assert whole["messages"][3]["feedback"] == {"rating": "down", "comment": "No."}
    await api.user("other")
    other = await api.log_in("other")
    assert_problem(await other.get(url), 404)
    assert_problem(await other.patch(url, json={"title": "Mine"}), 404)
    assert_problem(await other.delete(url), 404)
    assert_problem(await other.post("/api/v1/ask", json=more), 404)
    assert_problem(await other.post("/api/v1/feedback", json={"message_id": second["message_id"], "rating": "up"}), 404)
    assert (await boss.delete(url)).status_code == 204
    assert_problem(await boss.get(url), 404)


@pytest.mark.req("API-3")
async def test_lists_page_through_everything_once(api: Api, boss: httpx.AsyncClient) -> None:
    await api.index({f"{number}.md": f"# Number {number}\n\nText {number}." for number in range(7)})
    for number in range(7):
        await boss.post("/api/v1/ask", json={"question": f"What is number {number}?"})
    for url in ("/api/v1/documents", "/api/v1/conversations"):
        everything = [item["id"] for item in (await boss.get(url)).json()["items"]]
        assert len(everything) == 7
        paged: list[str] = []
        cursor: str | None = None
        pages = 0
        while pages == 0 or cursor:
            answer = await boss.get(url, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
            paged += [item["id"] for item in answer.json()["items"]]
            cursor = answer.json()["next_cursor"]
            pages += 1
        assert pages == 4
        assert paged == everything
        assert_problem(await boss.get(url, params={"cursor": "nonsense"}), 422)
        assert_problem(await boss.get(url, params={"limit": 0}), 422)
        assert_problem(await boss.get(url, params={"limit": 10_000}), 422)


async def test_documents_are_filtered_and_read_in_windows(api: Api, boss: httpx.AsyncClient) -> None:
    source = await api.index({"printer.md": TEXT, "100%_sure.md": "# Sure\n\nYes."})

    async def titles(**params: str) -> set[str]:
        answer = await boss.get("/api/v1/documents", params=params)
        return {item["title"] for item in answer.json()["items"]}

    assert await titles() == {"Printer", "Sure"}
    assert await titles(q="print") == {"Printer"}
    assert await titles(q="100%_") == {"Sure"}
    assert await titles(q="%") == {"Sure"}
    assert await titles(source=str(source.id), workspace="MAIN", q="sure") == {"Sure"}
    document = (await boss.get("/api/v1/documents", params={"q": "printer"})).json()["items"][0]
    window = (await boss.get(f"/api/v1/documents/{document['id']}/text", params={"offset": 2, "length": 7})).json()
    assert window["text"] == "Printer"
    assert window["total_chars"] == len((await boss.get(f"/api/v1/documents/{document['id']}/text")).json()["text"])
    assert [chunk["start_offset"] for chunk in window["chunks"]] == [0]
    beyond = await boss.get(f"/api/v1/documents/{document['id']}/text", params={"offset": 10**6})
    assert (beyond.json()["text"], beyond.json()["chunks"]) == ("", [])
    assert_problem(await boss.delete(f"/api/v1/documents/{document['id']}"), 409)


@pytest.mark.req("SRC-5", "API-1")
async def test_an_upload_is_indexed_replaced_and_removed_with_its_file(api: Api, boss: httpx.AsyncClient) -> None:
    async def upload(content: str) -> dict[str, Any]:
        files = [("file", ("../../etc/notes.md", content, "text/markdown"))]
        answer = await boss.post("/api/v1/documents", files=files, data={"workspace": "Main"})
        assert answer.status_code == 202, answer.text
        await api.work()
        return dict(answer.json()["uploads"][0])

    first = await upload("# Notes\n\nThe code is blue.")
    assert first["name"] == "notes.md"
    run = (await boss.get(f"/api/v1/runs/{first['run_id']}")).json()
    assert (run["state"], run["added"]) == ("succeeded", 1)
    document = (await boss.get("/api/v1/documents")).json()["items"][0]
    assert document["deletable"]
    stored = list(api.runtime.uploads_dir.rglob("*.md"))
    assert [path.name for path in stored] == ["notes.md"]
    await upload("# Notes\n\nThe code is green.")
    documents = (await boss.get("/api/v1/documents")).json()["items"]
    assert [item["id"] for item in documents] == [document["id"]]
    assert "green" in (await boss.get(f"/api/v1/documents/{document['id']}/text")).json()["text"]
    assert (await boss.delete(f"/api/v1/documents/{document['id']}")).status_code == 204
    assert_problem(await boss.get(f"/api/v1/documents/{document['id']}"), 404)
    assert not stored[0].exists()
    assert (await boss.get("/api/v1/search", params={"q": "code green"})).json()["results"] == []


async def test_uploads_that_cannot_be_taken_leave_nothing_behind(api: Api, boss: httpx.AsyncClient) -> None:
    async def upload(name: str, content: bytes, workspace: str = "Main") -> httpx.Response:
        return await boss.post("/api/v1/documents", files={"file": (name, content)}, data={"workspace": workspace})

    assert_problem(await upload("large.txt", b"x" * 200_001), 413, "too-large")
    assert_problem(await upload("huge.txt", b"x" * 3_000_000), 413, "too-large")
    assert_problem(await upload("empty.txt", b""), 422)
    assert_problem(await upload("...", b"x"), 422)
    assert_problem(await upload("x.txt", b"x", "Nowhere"), 404)
    assert_problem(await boss.post("/api/v1/documents", data={"workspace": "Main"}), 422)
    many = [("file", (f"{number}.txt", b"x")) for number in range(51)]
    assert_problem(await boss.post("/api/v1/documents", files=many, data={"workspace": "Main"}), 422)
    assert [path for path in api.runtime.uploads_dir.rglob("*") if path.is_file()] == []
    assert (await boss.get("/api/v1/sources")).json()["items"] == []


async def test_sources_are_connected_changed_run_and_removed(api: Api, boss: httpx.AsyncClient, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "printer.md").write_text(TEXT)
    (folder / "empty.txt").touch()
    new = {"name": "Docs", "kind": "filesystem", "workspace": "Main", "settings": {"path": str(folder)}}
    for changed, status in (
        ({"settings": {"path": str(tmp_path / "missing")}}, 422),
        ({"settings": {"path": "relative"}}, 422),
        ({"settings": {"path": str(folder), "colour": "red"}}, 422),
        ({"settings": {}}, 422),
        ({"kind": "carrier-pigeon"}, 422),
        ({"workspace": "Nowhere"}, 404),
        ({"name": ""}, 422),
    ):
        assert_problem(await boss.post("/api/v1/sources", json={**new, **changed}), status)
    created = await boss.post("/api/v1/sources", json=new)
    assert created.status_code == 201, created.text
    url = f"/api/v1/sources/{created.json()['id']}"
    assert_problem(await boss.post("/api/v1/sources", json=new), 409)
    run = await boss.post(f"{url}/sync", json={})
    assert run.status_code == 202
    assert run.json()["state"] == "queued"
    await api.work()
    source = (await boss.get(url)).json()
    assert (source["document_count"], source["error_count"], source["last_run"]["state"]) == (1, 1, "succeeded")
    errors = (await boss.get(f"{url}/errors")).json()
    assert [(item["external_id"], item["reason"]) for item in errors["items"]] == [("empty.txt", "empty")]
    assert len((await boss.get(f"{url}/runs")).json()["items"]) == 1
    assert (await boss.patch(url, json={"paused": True, "name": "Papers"})).json()["name"] == "Papers"
    assert_problem(await boss.post(f"{url}/sync", json={}), 409)
    assert (await boss.patch(url, json={"paused": False})).status_code == 200
    assert_problem(await boss.patch(url, json={"settings": {"path": "/nowhere/at/all"}}), 422)
    waiting = (await boss.post(f"{url}/sync", json={"full": True})).json()
    cancelled = await boss.post(f"/api/v1/runs/{waiting['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert (await boss.delete(url)).status_code == 204
    assert_problem(await boss.get(url), 404)
    assert (await boss.get("/api/v1/documents")).json()["items"] == []
    await api.work()  # the jobs of a source that is gone do nothing


async def test_workspaces_are_created_renamed_and_deleted_with_what_they_hold(
    api: Api, boss: httpx.AsyncClient
) -> None:
    created = await boss.post("/api/v1/workspaces", json={"name": "  Sales  "})
    assert created.status_code == 201
    url = f"/api/v1/workspaces/{created.json()['id']}"
    assert created.json()["name"] == "Sales"
    assert_problem(await boss.post("/api/v1/workspaces", json={"name": "sales"}), 409)
    assert_problem(await boss.post("/api/v1/workspaces", json={"name": "   "}), 422)
    assert_problem(await boss.patch(url, json={"name": "Main"}), 409)
    assert (await boss.patch(url, json={"name": "Vertrieb"})).json()["name"] == "Vertrieb"
    await boss.post("/api/v1/documents", files={"file": ("a.md", "# A\n\nB.")}, data={"workspace": "Vertrieb"})
    await api.work()
    counts = {item["name"]: item["document_count"] for item in (await boss.get("/api/v1/workspaces")).json()["items"]}
    assert counts == {"Main": 0, "Vertrieb": 1}
    assert (await boss.delete(url)).status_code == 204
    assert_problem(await boss.delete(url), 404)
    assert (await boss.get("/api/v1/documents")).json()["items"] == []


@pytest.mark.req("API-2")
async def test_questions_that_are_no_questions(api: Api, boss: httpx.AsyncClient) -> None:
    for path in ("/api/v1/ask",):
        assert_problem(await boss.post(path, json={"question": "x" * 100_000}), 413, "too-large")
        for question in ("", "   \n", "\0"):
            assert_problem(await boss.post(path, json={"question": question}), 422)
        assert_problem(await boss.post(path, json={"question": "x?", "colour": "red"}), 422)
        assert_problem(await boss.post(path, json={"question": 5}), 422)
        assert_problem(await boss.post(path, json={"question": "x?", "workspace": "Nowhere"}), 404)
        assert_problem(await boss.post(path, json={"question": "x?", "conversation_id": SOME_ID}), 404)
        stream = {"Accept": "text/event-stream"}
        assert_problem(await boss.post(path, json={"question": ""}, headers=stream), 422)
        assert_problem(await boss.post(path, json={"question": "x" * 100_000}, headers=stream), 413)
    assert_problem(await boss.get("/api/v1/search", params={"q": "x" * 20_000}), 413)
    empty = await boss.get("/api/v1/search", params={"q": ""})
    assert empty.status_code in {200, 422}


async def test_things_that_are_not_there(api: Api, boss: httpx.AsyncClient) -> None:
    for path in ("documents", "sources", "conversations", "runs"):
        assert_problem(await boss.get(f"/api/v1/{path}/{SOME_ID}"), 404)
        assert_problem(await boss.get(f"/api/v1/{path}/nonsense"), 422)
    assert_problem(await boss.get("/api/v1/nothing"), 404)
    assert_problem(await boss.put("/api/v1/ask", json={}), 404)
    assert_problem(await boss.post("/livez"), 405)


async def test_requests_over_the_limit_are_refused_however_they_are_sent(api: Api, boss: httpx.AsyncClient) -> None:
    large = json.dumps({"question": "x" * 2_000_000}).encode()

    async def chunked():
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    headers = {"Content-Type": "application/json"}
    assert_problem(await boss.post("/api/v1/ask", content=large, headers=headers), 413, "too-large")
    assert_problem(await boss.post("/api/v1/ask", content=chunked(), headers=headers), 413, "too-large")
    assert_problem(await boss.post("/api/v1/ask", content=b"{nonsense", headers=headers), 422)
    assert_problem(await boss.post("/api/v1/ask", content=b"\xff\xfe", headers=headers), 422)
    deep = b'{"question":' + b"[" * 100_000
    assert (await boss.post("/api/v1/ask", content=deep, headers=headers)).status_code in {400, 422}


async def test_nul_bytes_and_lone_surrogates_are_never_our_fault(
    api: Api, boss: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Every text field of every operation, with a character that PostgreSQL cannot store."""
    source = await api.index({"a.md": "# A\n\nText."})
    asked = (await boss.post("/api/v1/ask", json={"question": "What is A?"})).json()
    base = "/api/v1"
    for bad in ("a\0b", "\ud800"):
        bodies: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", f"{base}/auth/login", {"login": bad, "password": bad}),
            ("POST", f"{base}/auth/password", {"current_password": bad, "new_password": bad * 9}),
            ("POST", f"{base}/ask", {"question": f"{bad} where is A", "workspace": bad}),
            ("POST", f"{base}/ask", {"question": f"{bad} where is A"}),
            ("POST", f"{base}/workspaces", {"name": bad}),
            ("PATCH", f"{base}/workspaces/{api.tenant.workspace_id}", {"name": bad}),
            ("POST", f"{base}/sources", {"name": bad, "workspace": bad, "settings": {"path": f"/tmp{bad}"}}),
            ("POST", f"{base}/sources", {"name": bad, "workspace": "Main", "settings": {"path": f"/tmp/{bad}"}}),
            (
                "POST",
                f"{base}/sources",
                {"name": "ok", "workspace": "Main", "settings": {"path": str(tmp_path), "include": [bad]}},
            ),
            ("PATCH", f"{base}/sources/{source.id}", {"settings": {"path": str(tmp_path), "exclude": [bad]}}),
            ("PATCH", f"{base}/sources/{source.id}", {"name": bad}),
            ("PATCH", f"{base}/conversations/{asked['conversation_id']}", {"title": bad}),
            (
                "POST",
                f"{base}/feedback",
                {"message_id": asked["message_id"], "rating": "up", "comment": bad},
            ),
            ("POST", f"{base}/tokens", {"name": bad, "scopes": ["ask"]}),
            ("POST", f"{base}/tokens", {"name": "x", "scopes": [bad]}),
        ]
        for method, url, body in bodies:
            content = json.dumps(body).encode()
            answer = await boss.request(method, url, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (method, url, body, answer.text)
    queries = [
        f"{base}/search?q=%00a",
        f"{base}/search?q=a&workspace=%00",
        f"{base}/documents?q=%00",
        f"{base}/documents?source=%00",
        f"{base}/documents?workspace=%00",
        f"{base}/documents?cursor=%00",
        f"{base}/conversations?cursor=%00",
        f"{base}/sources/{source.id}/errors?cursor=%00",
        f"{base}/documents?q=%ff%fe",
        f"{base}/documents/%00",
        f"{base}/%00",
        "/%00",
        "/assets/%00",
    ]
    for url in queries:
        answer = await boss.get(url)
        assert answer.status_code < 500, (url, answer.text)
    for name in ("a\0b.txt", "\udc80.txt"):
        answer = await boss.post(
            f"{base}/documents",
            content=b'--x\r\nContent-Disposition: form-data; name="workspace"\r\n\r\nMain\r\n--x\r\n'
            b'Content-Disposition: form-data; name="file"; filename="'
            + name.encode(errors="surrogateescape")
            + b'"\r\n\r\nhello\r\n--x--\r\n',
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert answer.status_code < 500, (name, answer.text)
    broken = await boss.post(
        f"{base}/documents", content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"}
    )
    assert 400 <= broken.status_code < 500


@pytest.mark.req("SEC-10")
async def test_every_answer_carries_the_security_headers(api: Api, boss: httpx.AsyncClient) -> None:
    for url, status in (("/api/v1/auth/me", 200), ("/api/v1/nothing", 404), ("/livez", 200)):
        answer = await boss.get(url)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-request-id"]
    assert (await boss.get("/api/v1/auth/me")).headers["cache-control"] == "no-store"


@pytest.mark.req("OPS-5")
async def test_the_health_pages_tell_up_from_degraded(api: Api) -> None:
    client = api.client()
    assert (await client.get("/livez")).json() == {"status": "up"}
    assert (await client.get("/readyz")).json()["status"] == "up"
    health = (await client.get("/healthz")).json()
    assert health["dependencies"]["database"]["status"] == "up"
    assert health["status"] in {"up", "degraded"}
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
