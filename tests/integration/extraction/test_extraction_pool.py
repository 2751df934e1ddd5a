"""The pool: children that misbehave, die, rest and are replaced."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from opaa.errors import ExtractionError
from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Limits, Reason

STUBBORN = (sys.executable, "-I", str(Path(__file__).with_name("stubborn_child.py")))


@pytest.fixture
async def pool() -> AsyncIterator[ExtractionPool]:
    limits = Limits(timeout_s=2, memory_bytes=100_000_000)
    async with ExtractionPool(limits, command=STUBBORN) as pool:
        yield pool


async def _gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.req("SRC-7")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hang", Reason.TIMEOUT),
        (b"spin", Reason.TIMEOUT),
        (b"eat", Reason.MEMORY),
        (b"die", Reason.CRASHED),
        (b"leave", Reason.CRASHED),
        (b"write", Reason.CRASHED),
    ],
)
async def test_a_child_that_misbehaves_costs_only_its_document(
    pool: ExtractionPool, data: bytes, reason: Reason
) -> None:
    assert (await pool.extract(b"before", "a.txt")).text == "before"
    with pytest.raises(ExtractionError) as caught:
        await pool.extract(data, "a.txt")
    assert caught.value.reason == reason
    assert (await pool.extract(b"after", "a.txt")).text == "after"


async def test_a_child_that_was_killed_while_it_rested_is_replaced(pool: ExtractionPool) -> None:
    await pool.extract(b"one", "a.txt")
    (first,) = pool.child_pids
    os.kill(first, signal.SIGKILL)
    await _gone(first)
    assert (await pool.extract(b"two", "a.txt")).text == "two"
    assert (await pool.extract(b"three", "a.txt")).text == "three"
    assert first not in pool.child_pids


async def test_a_child_that_is_killed_in_the_middle_gives_a_reason(pool: ExtractionPool) -> None:
    await pool.extract(b"one", "a.txt")
    work = asyncio.create_task(pool.extract(b"hang", "a.txt"))
    await asyncio.sleep(0)
    os.kill(pool.child_pids[0], signal.SIGKILL)
    with pytest.raises(ExtractionError) as caught:
        await work
    assert caught.value.reason == Reason.CRASHED
    assert "SIGKILL" in caught.value.message
    assert (await pool.extract(b"two", "a.txt")).text == "two"


async def test_a_stopped_child_is_killed_at_the_time_limit(pool: ExtractionPool) -> None:
    await pool.extract(b"one", "a.txt")
    (pid,) = pool.child_pids
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ExtractionError) as caught:
        await pool.extract(b"two", "a.txt")
    assert caught.value.reason == Reason.TIMEOUT
    assert not psutil.pid_exists(pid)


async def test_cancelling_ends_the_child(pool: ExtractionPool) -> None:
    await pool.extract(b"one", "a.txt")
    (pid,) = pool.child_pids
    work = asyncio.create_task(pool.extract(b"hang", "a.txt"))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not psutil.pid_exists(pid)
    assert (await pool.extract(b"two", "a.txt")).text == "two"


async def test_what_a_library_prints_does_not_disturb_the_answer(pool: ExtractionPool) -> None:
    assert (await pool.extract(b"babble", "a.txt")).text == "babble"


async def test_the_child_sees_no_environment(pool: ExtractionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary")
    assert "SECRET_KEY" not in (await pool.extract(b"environment", "a.txt")).text


async def test_the_child_has_no_network_where_the_kernel_allows_that(pool: ExtractionPool) -> None:
    probe = "import sys; from opaa.extraction.sandbox import enter_sandbox; sys.exit(0 if enter_sandbox() else 1)"
    isolated = subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        (result,) = await pool.extract_many([(b"connect", f"{server.getsockname()[1]}.txt")])
    assert (isinstance(result, ExtractionError) and result.reason == Reason.CRASHED) == isolated


async def test_children_die_with_their_parent() -> None:
    script = (
        "import asyncio, sys; from opaa.extraction.pool import ExtractionPool\n"
        "async def main():\n"
        "    pool = ExtractionPool(command=sys.argv[1:])\n"
        "    await pool.extract(b'one', 'a.txt')\n"
        "    print(*pool.child_pids, flush=True)\n"
        "    await pool.extract(b'hang', 'a.txt')\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *STUBBORN, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await _gone(child)


async def test_a_child_ends_after_its_share_of_documents() -> None:
    async with ExtractionPool(recycle_after=2) as pool:
        pids = []
        for _ in range(4):
            await pool.extract(b"text", "a.txt")
            pids += pool.child_pids
        assert len(set(pids)) == 2


async def test_an_idle_pool_has_no_child() -> None:
    async with ExtractionPool(idle_s=0.05) as pool:
        await pool.extract(b"text", "a.txt")
        (pid,) = pool.child_pids
        await _gone(pid)
        assert pool.child_pids == ()
        assert (await pool.extract(b"again", "a.txt")).text == "again"


async def test_documents_run_side_by_side_in_order_of_asking() -> None:
    async with ExtractionPool(processes=2) as pool:
        results = await pool.extract_many([(f"number {n}".encode(), "a.txt") for n in range(20)] + [(b"", "a.txt")])
        assert [r.text for r in results[:20] if not isinstance(r, ExtractionError)] == [
            f"number {n}" for n in range(20)
        ]
        assert isinstance(results[20], ExtractionError)
        assert len(pool.child_pids) == 2
    assert not [child for child in psutil.Process().children() if "opaa.extraction.child" in child.cmdline()]
