"""The model packages talk to the configured endpoint and to nobody else, and cost nothing until they are used."""

import json
import subprocess
import sys

from tests.fakes.openai_server import FakeOpenAI

# Audit events see every connection and look-up that Python makes, whichever library asks for it. They cannot be taken
# away again, hence the process of its own.
PROGRAM = """
import asyncio, json, sys
from contextlib import aclosing

seen = set()

def audit(event, arguments):
    if event == "socket.connect":
        seen.add(f"connect {arguments[1][0]}:{arguments[1][1]}" if isinstance(arguments[1], tuple) else "connect unix")
    elif event == "socket.getaddrinfo":
        seen.add(f"look up {arguments[0]}")

sys.addaudithook(audit)
from opaa.llm.chat import OpenAIChatModel
from opaa.llm.endpoint_embedder import EndpointEmbedder
from opaa.llm.port import ChatMessage

before = sorted({name.partition(".")[0] for name in sys.modules} & {"openai", "pydantic_ai", "onnxruntime"})

async def main(base_url, key):
    model = OpenAIChatModel(base_url=base_url, model="fake-model", api_key=key)
    question = [ChatMessage("user", "[1] Six months.")]
    async with aclosing(model.stream(question, max_tokens=9, temperature=0, timeout_s=30)) as stream:
        parts = [str(part) async for part in stream]
    await model.close()
    embedder = EndpointEmbedder(base_url=base_url, model="fake-embedder", api_key=key, dimension=16)
    await embedder.embed_query("Urlaub")
    await embedder.close()
    print(json.dumps({"before": before, "seen": sorted(seen), "parts": parts}))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def test_only_the_configured_endpoint_is_contacted():
    with FakeOpenAI() as server:
        command = [sys.executable, "-c", PROGRAM, server.base_url, server.api_key]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(result.stdout)
    address = server.base_url.removeprefix("http://").removesuffix("/v1")
    assert set(report["seen"]) - {"look up 127.0.0.1"} == {f"connect {address}"}
    assert len(report["parts"]) > 1
    assert report["before"] == [], "imported although nothing was asked yet"


def test_the_local_embedder_contacts_nobody(tmp_path):
    program = """
import asyncio, sys
from pathlib import Path
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
from opaa.llm.bundled_model import ensure_bundled_model
from opaa.llm.local_embedder import LocalEmbedder
embedder = LocalEmbedder(ensure_bundled_model(Path(sys.argv[1])), threads=1)
asyncio.run(embedder.embed_passages(["Urlaub"]))
assert not seen, seen
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
