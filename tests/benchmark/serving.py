"""A running installation: how soon it answers, how much memory it needs, and whether that grows."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from tests.benchmark.indexing import write_files

QUESTIONS = 120
UPLOADS = 1000
START_TIMEOUT_S = 120
INDEX_TIMEOUT_S = 900


class Installation:
    """`opaa up` on a folder of its own."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.port = port
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPAA_", "LLM_"))},
            "OPAA_DATA_DIR": str(folder),
            "PORT": str(port),
            "OPAA_LOG_FORMAT": "text",
            **environment,
        }
        self.log = folder.with_suffix(".log")
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60)

    def start(self) -> float:
        """Seconds until it says that it is ready."""
        started = time.perf_counter()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "opaa", "up"], env=self.environment, stdout=log, stderr=log
            )
        while time.perf_counter() - started < START_TIMEOUT_S:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200:
                    return time.perf_counter() - started
            except httpx.HTTPError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(self.log.read_text(encoding="utf-8")[-2000:])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def command(self, *arguments: str) -> str:
        completed = subprocess.run(
            [sys.executable, "-m", "opaa", *arguments], env=self.environment, check=True, capture_output=True, text=True
        )
        return completed.stdout

    def log_in(self) -> None:
        scopes = ["ask", "search", "documents:write", "documents:read", "sources:read"]
        options = [part for scope in scopes for part in ("--scope", scope)]
        token = self.command("token", "create", "--name", "bench", *options).strip().splitlines()[-1]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def ask(self, question: str) -> float:
        """Seconds of one answer."""
        started = time.perf_counter()
        self.http.post("/ask", json={"question": question}).raise_for_status()
        return time.perf_counter() - started

    def resident_bytes(self) -> dict[str, int]:
        """Of the API and the worker."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            command = child.cmdline()
            if command[-1] in {"serve", "worker"}:
                found[command[-1]] = child.memory_info().rss
        return found


def _port() -> int:
    return 20_000 + secrets.randbelow(20_000)


def _start_and_memory(root: Path) -> list[dict[str, Any]]:
    documents = root / "documents"
    documents.mkdir()
    write_files(documents, 60, seed=3)
    local = Installation(root / "local", _port())
    first = local.start()
    try:
        idle = local.resident_bytes()
        local.command("workspace", "create", "Bench")
        local.command("source", "add", "filesystem", "--name", "b", "--path", str(documents), "-w", "Bench")
        local.command("source", "sync", "b", "--wait")
        local.log_in()
        questions = [" ".join(path.read_text().split()[5:13]) for path in sorted(documents.iterdir())]
        local.ask(questions[0])
        times = [local.ask(questions[number % len(questions)]) for number in range(QUESTIONS)]
        growth = _uploads(local)
        busy = local.resident_bytes()
    finally:
        local.stop()
    started = time.perf_counter()
    local.start()
    local.ask(questions[1])
    second = time.perf_counter() - started
    local.stop()
    return [
        _row("first start to ready", first, "s", None),
        _row("second start to first answer", second, "s", "≤ 5 s"),
        _row("answer without a model, p50", 1000 * float(np.percentile(times, 50)), "ms", None),
        _row("answer without a model, p95", 1000 * float(np.percentile(times, 95)), "ms", "≤ 60 ms"),
        _row("resident, idle, local embedder", sum(idle.values()) / 1e6, "MB", "≤ 900 MB", idle),
        _row("resident after work, local embedder", sum(busy.values()) / 1e6, "MB", "≤ 900 MB", busy),
        *growth,
    ]


def _uploads(installation: Installation) -> list[dict[str, Any]]:
    """Resident memory of API and worker while small files are uploaded and indexed one after the other."""
    sizes = []
    for number in range(UPLOADS):
        content = f"# Note {number}\n\nThe code of note {number} is {secrets.token_hex(8)}.\n"
        installation.http.post(
            "/documents", data={"workspace": "Bench"}, files={"file": (f"note-{number}.md", content)}
        ).raise_for_status()
        if number % 100 == 99:
            _wait_until_idle(installation)
            sizes.append(sum(installation.resident_bytes().values()) / 1e6)
    return [
        _row(f"resident growth from upload 200 to {UPLOADS}", sizes[-1] - sizes[1], "MB", "flat", {"MB": sizes}),
    ]


def _wait_until_idle(installation: Installation) -> None:
    deadline = time.monotonic() + INDEX_TIMEOUT_S
    while time.monotonic() < deadline:
        items = installation.http.get("/sources").json()["items"]
        if all(item["last_run"] and item["last_run"]["finished_at"] for item in items):
            return
        time.sleep(0.2)
    raise RuntimeError("the uploads were not indexed in time")


def _endpoint_memory(root: Path) -> list[dict[str, Any]]:
    from tests.fakes.openai_server import FakeOpenAI

    with FakeOpenAI() as endpoint:
        installation = Installation(
            root / "endpoint",
            _port(),
            LLM_EMBEDDING_PROVIDER="openai",
            LLM_API_BASE=endpoint.base_url,
            LLM_API_KEY=endpoint.api_key or "",
            LLM_EMBEDDING_MODEL="fake",
            LLM_EMBEDDING_DIMENSION="384",
        )
        installation.start()
        try:
            idle = installation.resident_bytes()
        finally:
            installation.stop()
    return [_row("resident, idle, embedding endpoint", sum(idle.values()) / 1e6, "MB", "≤ 350 MB", idle)]


def _row(
    what: str, value: float, unit: str, target: str | None, detail: dict[str, Any] | None = None
) -> dict[str, Any]:
    shown = re.sub(r"\.\d+", "", json.dumps(detail)) if detail else ""
    return {"what": what, "value": round(value, 1), "unit": unit, "target": target or "", "detail": shown}


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="opaa-bench-") as folder:
        return [*_start_and_memory(Path(folder)), *_endpoint_memory(Path(folder))]


if __name__ == "__main__":
    for row in run():
        print(row)
