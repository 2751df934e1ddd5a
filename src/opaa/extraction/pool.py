"""Documents are read in child processes that can be killed.

Every format goes through a child, Markdown too: a small file costs about 0.4 ms there and back (benchmark
`tests/benchmark/extraction.py`), so a second way for "harmless" formats would save nothing that shows beside the
embedder, and would have to be defended on its own (regular
expressions, YAML and decoders meet hostile text as well). Formats that need no heavy library never load it.
"""

import asyncio
import contextlib
import os
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import orjson

from opaa.errors import ExtractionError
from opaa.extraction.port import Extracted, Limits, Reason, refusal

_COMMAND = (sys.executable, "-I", "-m", "opaa.extraction.child")
# No variable of OPAA's own environment, so no secret, is handed to a process that reads hostile files.
_ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONUTF8": "1", "MALLOC_ARENA_MAX": "2", "RAYON_NUM_THREADS": "1"}
_STDERR_TAIL = 4_000
_END_TIMEOUT_S = 5.0
_MEMORY_SIGNS = (b"memory allocation", b"MemoryError", b"bad_alloc", b"out of memory", b"Out of memory")


class ExtractionPool:
    """Turns bytes into Markdown in up to `processes` child processes, started when first needed.

    A document that hangs, eats memory or crashes its reader costs its own child and gives an ExtractionError; the
    next document gets a new child. Children end after `recycle_after` documents and after `idle_s` without work, so
    an idle pool holds no memory. Use it in one event loop; `aclose` ends the children.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        processes: int = 1,
        *,
        recycle_after: int = 1_000,
        idle_s: float = 30.0,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self.limits = limits or Limits()
        self._recycle_after = recycle_after
        self._idle_s = idle_s
        self._command = (*command, orjson.dumps(asdict(self.limits)).decode())
        self._slots = asyncio.Semaphore(processes)
        self._resting: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def child_pids(self) -> tuple[int, ...]:
        """Process ids of the living children, for metrics and tests."""
        return tuple(child.pid for child in (*self._busy, *self._resting))

    async def extract(self, data: bytes, file_name: str) -> Extracted:
        """The text of `data`. `file_name` helps to tell kinds of text apart and is the last resort for a title.

        Raises ExtractionError with a `Reason`, at the latest after `limits.timeout_s`.
        """
        if not data:
            raise refusal(Reason.EMPTY)
        if len(data) > self.limits.max_bytes:
            raise refusal(Reason.TOO_LARGE, f"{len(data):,} bytes, {self.limits.max_bytes:,} allowed")
        async with self._slots:
            child = await self._take()
            try:
                async with asyncio.timeout(self.limits.timeout_s):
                    answer = await child.ask(data, file_name, _max_answer_bytes(self.limits))
            except TimeoutError:
                raise refusal(Reason.TIMEOUT, f"{self.limits.timeout_s:g} s") from None
            except (EOFError, ConnectionError) as error:
                await child.kill()
                raise child.why_it_ended() from error
            finally:
                # Also on cancellation: a child in the middle of a document is of no more use.
                await self._give_back(child)
        return _parse(answer)

    async def extract_many(self, documents: Iterable[tuple[bytes, str]]) -> list[Extracted | ExtractionError]:
        """Each (data, file name) in order, as its text or the error it got; runs on all processes of the pool."""

        async def one(data: bytes, file_name: str) -> Extracted | ExtractionError:
            try:
                return await self.extract(data, file_name)
            except ExtractionError as error:
                return error

        return list(await asyncio.gather(*(one(data, name) for data, name in documents)))

    async def aclose(self) -> None:
        """End all children; documents under way get an ExtractionError."""
        self._closed = True
        children = [*self._resting, *self._busy]
        self._resting.clear()
        for child in children:
            await child.kill()

    async def _take(self) -> "_Child":
        while self._resting:
            child = self._resting.pop()
            child.keep()
            if child.alive:
                self._busy.add(child)
                return child
            await child.kill()
        if self._closed:
            raise refusal(Reason.CRASHED, "the extraction pool is closed")
        child = await _Child.start(self._command)
        self._busy.add(child)
        return child

    async def _give_back(self, child: "_Child") -> None:
        self._busy.discard(child)
        if self._closed or not child.ready or child.documents >= self._recycle_after:
            await child.kill()
            return
        self._resting.append(child)
        child.end_after(self._idle_s, self._resting)


class _Child:
    """One child process and the conversation with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 -- they are pipes
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self._stderr = b""
        self._listening = asyncio.create_task(self._listen(process.stderr))
        self._ending: asyncio.TimerHandle | None = None
        self._end_task: asyncio.Task[None] | None = None
        self.documents = 0
        self.ready = True

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Child":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, cwd="/", start_new_session=True
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Asks the kernel, because the event loop learns of an end only later; leaves the exit status for the loop."""
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return ended is None

    async def ask(self, data: bytes, file_name: str, max_answer_bytes: int) -> bytes:
        """The child's answer. Raises EOFError or ConnectionError when the child ended or does not keep the protocol."""
        self.ready = False
        self.documents += 1
        head = orjson.dumps({"name": file_name.encode("utf-8", "replace").decode()})
        self._requests.write(struct.pack(">I", len(head)) + head + struct.pack(">I", len(data)))
        self._requests.write(data)
        await self._requests.drain()
        (size,) = struct.unpack(">I", await self._answers.readexactly(4))
        if size > max_answer_bytes:
            raise EOFError(f"an answer of {size} bytes")
        answer = await self._answers.readexactly(size)
        self.ready = True
        return answer

    async def kill(self) -> None:
        """End the child and whatever it started, and wait until it is gone."""
        self.keep()
        self.ready = False
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.wait()
                await self._listening
        self._requests.close()

    def end_after(self, idle_s: float, resting: "list[_Child]") -> None:
        """Kill the child after `idle_s` unless `keep` is called first."""

        def end() -> None:
            if self in resting:
                resting.remove(self)
                self._end_task = asyncio.get_running_loop().create_task(self.kill())

        self._ending = asyncio.get_running_loop().call_later(idle_s, end)

    def keep(self) -> None:
        if self._ending:
            self._ending.cancel()
            self._ending = None

    def why_it_ended(self) -> ExtractionError:
        """The reason for an end that nobody asked for; call after `kill`."""
        code = self._process.returncode or 0
        if any(sign in self._stderr for sign in _MEMORY_SIGNS):
            return refusal(Reason.MEMORY)
        if code == -signal.SIGXCPU:
            return refusal(Reason.TIMEOUT, "CPU time")
        name = signal.Signals(-code).name if -code in signal.valid_signals() else f"exit code {code}"
        return refusal(Reason.CRASHED, name)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(_STDERR_TAIL):
            self._stderr = (self._stderr + piece)[-_STDERR_TAIL:]


def _max_answer_bytes(limits: Limits) -> int:
    return limits.max_text_chars * 8 + 4 * 1024 * 1024


def _parse(answer: bytes) -> Extracted:
    """The child's answer, trusted no further than its types: the child may be in a document's hands."""
    try:
        message: dict[str, Any] = orjson.loads(answer)
        if "error" in message:
            reason, sentence = message["error"]
            error: ExtractionError = ExtractionError(str(Reason(reason)), str(sentence)[:1_000])
        else:
            found = message["ok"]
            return Extracted(
                text=str(found["text"]),
                title=None if found["title"] is None else str(found["title"]),
                content_type=str(found["content_type"]),
                metadata=dict(found["metadata"]),
                language=found["language"] if found["language"] in ("de", "en") else None,
                warnings=tuple(str(warning) for warning in found["warnings"]),
            )
    except (ValueError, KeyError, TypeError) as error_in_answer:
        raise refusal(Reason.CRASHED, "an answer that cannot be read") from error_in_answer
    raise error
