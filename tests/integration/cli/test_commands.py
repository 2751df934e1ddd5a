"""The command line as people call it: a process of its own for every command."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli") / "data"


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
    return {**kept, "OPAA_DATA_DIR": str(data_dir), "COLUMNS": "200", **more}


@pytest.fixture(scope="module")
def opaa(data_dir: Path) -> Run:
    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "opaa", *arguments],
            env=environment(data_dir, **more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def assert_refused(done: "subprocess.CompletedProcess[str]", *says: str, code: int = 1) -> None:
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error:")
    for part in says:
        assert part in lines[0]


@pytest.fixture(scope="module")
def indexed(opaa: Run, data_dir: Path) -> Path:
    folder = data_dir.parent / "documents"
    folder.mkdir()
    (folder / "printer.md").write_text("# Printer\n\nThe printer stands on the third floor.\n")
    (folder / "empty.txt").touch()
    done = opaa("workspace", "create", "Office")
    assert done.returncode == 0, done.stderr
    done = opaa("source", "add", "filesystem", "--name", "Docs", "--path", str(folder), "--workspace", "Office")
    assert done.returncode == 0, done.stderr
    done = opaa("source", "sync", "Docs", "--wait")
    assert done.returncode == 0, done.stderr
    assert "1 added, 0 changed, 0 unchanged, 0 removed, 1 failed" in done.stdout
    assert "opaa source errors" in done.stderr
    return folder


@pytest.mark.req("SRC-3", "RAG-1")
def test_a_folder_is_indexed_searched_and_asked_about(opaa: Run, indexed: Path) -> None:
    sources = json.loads(opaa("source", "list", "--json").stdout)["items"]
    assert [(item["name"], item["document_count"], item["error_count"]) for item in sources] == [("Docs", 1, 1)]
    errors = json.loads(opaa("source", "errors", "Docs", "--json").stdout)["items"]
    assert [(item["external_id"], item["reason"]) for item in errors] == [("empty.txt", "empty")]
    found = json.loads(opaa("search", "printer floor", "--limit", "3", "--json").stdout)
    assert found["results"][0]["uri"].endswith("/printer.md")
    answer = json.loads(opaa("ask", "Where is the printer?", "--workspace", "office", "--json").stdout)
    assert "third floor" in answer["answer"]
    assert answer["citations"]
    human = opaa("ask", "Where is the printer?")
    assert human.returncode == 0
    assert "third floor" in human.stdout
    assert human.stdout.count("third floor") == 1
    assert "printer.md" in human.stdout
    assert "Office" in opaa("workspace", "list").stdout
    assert "Docs" in opaa("source", "list").stdout
    assert "admin" in opaa("user", "list").stdout


@pytest.mark.req("SEC-4")
def test_a_token_is_alone_on_the_last_line(opaa: Run, indexed: Path) -> None:
    done = opaa("token", "create", "--name", "bot", "--user", "admin", "--scope", "ask", "--scope", "search")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("opaa_")
    assert " " not in done.stdout.splitlines()[-1]
    listed = json.loads(opaa("token", "list", "--json").stdout)["items"]
    assert [item["scopes"] for item in listed] == [["ask", "search"]]
    assert opaa("token", "revoke", listed[0]["id"]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask", "x?", "--workspace", "Nowhere"], "There is no workspace 'Nowhere'"),
        (["ask", "x" * 100_000], "100,000 characters"),
        (["source", "add", "filesystem", "--name", "n", "--path", "/no/such", "-w", "Office"], "does not exist"),
        (["source", "add", "pigeon", "--name", "n", "--path", "/tmp", "-w", "Office"], "not a kind of source"),
        (["source", "sync", "Nothing"], "There is no source 'Nothing'; there is Docs"),
        (["workspace", "create", "Office"], "already a workspace named Office"),
        (["token", "create", "--name", "x", "--scope", "fly"], "fly is not a scope"),
        (["eval", "/no/such/golden.json"], "golden.json"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(opaa: Run, indexed: Path, arguments: list[str], says: str) -> None:
    assert_refused(opaa(*arguments), says)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OPAA_PROT": "1"}, "OPAA_PROT is not a setting"),
        ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}, "The database cannot be reached"),
        ({"DATABASE_URL": "nonsense"}, "must look like postgresql://"),
        ({"OPAA_CONFIG": "/no/such/file.yaml"}, "cannot be read"),
        ({"OPAA_DATA_DIR": "/dev/null/x"}, "cannot be used"),
    ],
)
def test_wrong_settings_are_one_sentence(opaa: Run, data_dir: Path, variables: dict[str, str], says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opaa", "workspace", "list"],
        env={**environment(data_dir), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_refused(done, says)
    assert "hunter2" not in done.stderr


def test_config_commands_show_no_secret(opaa: Run) -> None:
    shown = opaa("config", "show", "--json", SECRET_KEY="hunter2hunter2")
    assert "hunter2" not in shown.stdout + shown.stderr
    assert json.loads(shown.stdout)["SECRET_KEY"] == "********"
    checked = opaa("config", "check", LOG_LEVEL="LOUD", PORT="0")
    assert checked.returncode == 1
    assert "LOG_LEVEL" in checked.stderr
    assert "PORT" in checked.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_a_port_in_use_is_one_sentence(opaa: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in ("up", "serve"):
            done = opaa(command, "--port", str(port))
            assert done.returncode == 1
            assert f"{port} cannot be used" in done.stderr
            assert "Traceback" not in done.stderr


@pytest.fixture
def running(data_dir: Path, indexed: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    port = free_port()
    command = [sys.executable, "-m", "opaa", "up", "--port", str(port)]
    with subprocess.Popen(
        command, env=environment(data_dir), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "OPAA is ready" in line:
                    break
            yield process, port
        finally:
            process.terminate()
            process.wait(40)


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.req("ARC-2")
def test_up_serves_restarts_what_dies_and_stops_without_a_trace(
    running: tuple["subprocess.Popen[str]", int], opaa: Run, data_dir: Path, indexed: Path
) -> None:
    import psutil

    process, port = running
    url = f"http://127.0.0.1:{port}/readyz"
    assert httpx.get(url).status_code == 200
    (indexed / "new.txt").write_text("Something new was written.")
    done = opaa("source", "sync", "Docs", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["added"] == 1
    server = next(child for child in psutil.Process(process.pid).children() if "serve" in child.cmdline())
    os.kill(server.pid, signal.SIGKILL)
    transport = httpx.HTTPTransport(retries=12)  # with growing pauses, until the new one listens
    with httpx.Client(transport=transport, timeout=30) as client:
        server.wait(10)
        assert client.get(url).status_code == 200
    started = children(process.pid)
    process.terminate()
    assert process.wait(40) is not None
    assert not [pid for pid in started if psutil.pid_exists(pid)]
    assert not (data_dir / "postgres" / "cluster" / "postmaster.pid").exists()
