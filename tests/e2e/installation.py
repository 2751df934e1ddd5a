"""A whole installation of OPAA, started as people start it, on a folder and a port of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

from opaa.settings.model import Settings, environment_name

READY_TIMEOUT_S = 90
STOP_TIMEOUT_S = 40
PASSWORD = re.compile(r"password:\s+(\S+)")


@dataclass
class Installation:
    """Where it listens, and the log-in that it printed when it started for the first time."""

    url: str
    login: str
    password: str

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """An API client of the first person, logged in."""
        with httpx.Client(base_url=f"{self.url}/api/v1/", timeout=30) as client:
            answer = client.post("auth/login", json={"login": self.login, "password": self.password})
            client.headers["X-CSRF-Token"] = answer.raise_for_status().json()["csrf_token"]
            yield client

    def index(self, name: str, folder: Path) -> None:
        """Connects a folder to a workspace of that name and waits, on the API's event stream, until it is indexed."""
        with self.client() as client:
            workspace = client.post("workspaces", json={"name": name}).raise_for_status().json()["id"]
            body = {"name": name, "kind": "filesystem", "workspace": workspace, "settings": {"path": str(folder)}}
            source = client.post("sources", json=body).raise_for_status().json()
            with client.stream("GET", "events") as events:
                run = client.post(f"sources/{source['id']}/sync", json={}).raise_for_status().json()
                for line in events.iter_lines():
                    seen = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                    if seen.get("id") == run["id"] and seen["finished_at"]:
                        assert seen["state"] == "succeeded", seen
                        return
        raise AssertionError("the event stream ended before the run did")


class _Output:
    """Reads what a process prints, to the end, so that it never waits for its reader."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line)
            if "Stop with Ctrl-C" in line:
                self.ready.set()
        self.ready.set()


@contextmanager
def running(
    data_dir: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[Installation]:
    """`opaa up` until the end of the block; then it must have ended cleanly and left no process behind."""
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    ours = {"OPAA_CONFIG", *(environment_name(field) for field in Settings.model_fields)}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    process = subprocess.Popen(
        [sys.executable, "-m", "opaa", "up", "--port", str(port), "--data-dir", str(data_dir)],
        env={**inherited, "NO_COLOR": "1", **(environment or {})},
        cwd=data_dir.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    output = _Output(process.stdout)
    family = {psutil.Process(process.pid)}
    try:
        assert output.ready.wait(READY_TIMEOUT_S), "".join(output.lines)
        assert process.poll() is None, "".join(output.lines)
        password = PASSWORD.search("".join(output.lines))
        assert password is not None, "".join(output.lines)
        family |= _family(process.pid, data_dir)
        yield Installation(f"http://127.0.0.1:{port}", "admin", password[1])
        assert process.poll() is None, "".join(output.lines)
    finally:
        family |= _family(process.pid, data_dir)
        code = _stop(process)
        left = [one for one in family | _family(process.pid, data_dir) if one.is_running()]
        names = [" ".join(one.cmdline()) for one in left if one.status() != psutil.STATUS_ZOMBIE]
        for one in left:
            one.kill()
    assert code == 0, f"ended with {code}\n" + "".join(output.lines)
    assert not names, f"left behind: {names}"


def _stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _family(pid: int, data_dir: Path) -> set[psutil.Process]:
    """The processes that descend from `pid`, and those that name the data folder, such as the database server."""
    found: set[psutil.Process] = set()
    if psutil.pid_exists(pid):
        found.update(psutil.Process(pid).children(recursive=True))
    for one in psutil.process_iter(["cmdline"]):
        if any(str(data_dir) in word for word in one.info["cmdline"] or []):
            found.add(one)
    return found
