"""`opaa up`, and the roles apart: `opaa serve`, `opaa worker`."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx2
import typer

from opaa.cli.console import Globals, asynchronous, err, escape, fail, out, reported, settings
from opaa.db.embedded import EmbeddedPostgres
from opaa.errors import ConflictError, OpaaError
from opaa.settings import Settings
from opaa.settings.check import require_safe
from opaa.telemetry import logs

Port = Annotated[int | None, typer.Option("--port", "-p", min=1, max=65535, help="Port to listen on.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder for the database, uploads and logs.")]
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 25
RESTART_AFTER_S = 1.0
POLL_EVERY_S = 0.1


def up(
    port: Port = None,
    data_dir: DataDir = None,
    sample: Annotated[bool, typer.Option("--sample", help="Index the sample documents.")] = False,
) -> None:
    """Run everything on this machine: database, API, web UI and worker. Ctrl-C stops it cleanly."""
    with reported():
        loaded = settings(port=port, data_dir=data_dir)
        for warning in require_safe(loaded):
            err.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
        _require_free_port(loaded)
        server = None if loaded.database_url else EmbeddedPostgres(loaded.data_dir / "postgres")
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            if server is not None:
                server.acquire()
            _Group(loaded, server).run(sample=sample)
        finally:
            if server is not None:
                server.release()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class _Group:
    """The processes of one installation on one machine; one that dies is started again."""

    def __init__(self, loaded: Settings, server: EmbeddedPostgres | None) -> None:
        self.settings = loaded
        self.server = server
        self.environment: Mapping[str, str] = {
            **os.environ,
            "PORT": str(loaded.port),
            "OPAA_DATA_DIR": str(loaded.data_dir),
            **({"OPAA_CONFIG": str(Globals.config_file)} if Globals.config_file else {}),
        }
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *, sample: bool) -> None:
        try:
            first = self._setup(sample=sample)
            for role in ("serve", "worker"):
                self._start(role)
            self._wait_until_ready()
            self._announce(first)
            while True:
                time.sleep(RESTART_AFTER_S)
                self._revive_database()
                for role, child in list(self.children.items()):
                    if child.poll() is not None:
                        err.print(f"[yellow]{role} ended with code {child.returncode}; starting it again[/]")
                        self._start(role)
        except KeyboardInterrupt:
            err.print("Stopping …")
        finally:
            self._stop()

    def _revive_database(self) -> None:
        try:
            if self.server is not None and self.server.revive():
                err.print("[yellow]PostgreSQL ended; it was started again[/]")
        except OpaaError as error:  # a full disk, say: tried again a second later
            err.print(f"[yellow]{escape(error.message)}[/]", highlight=False)

    def _setup(self, *, sample: bool) -> dict[str, str]:
        command = [sys.executable, "-m", "opaa", "setup", *(["--sample"] if sample else [])]
        completed = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=False)  # noqa: S603
        if completed.returncode:
            raise typer.Exit(completed.returncode)
        result: dict[str, str] = json.loads(completed.stdout)
        return result

    def _start(self, role: str) -> None:
        command = [sys.executable, "-m", "opaa", role]
        # A session of its own: Ctrl-C reaches only this process, which then stops the others in order.
        self.children[role] = subprocess.Popen(command, env=self.environment, start_new_session=True)  # noqa: S603

    def _wait_until_ready(self) -> None:
        host = "127.0.0.1" if self.settings.host in {"0.0.0.0", "::"} else self.settings.host  # noqa: S104
        url = f"http://{host}:{self.settings.port}/readyz"
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            code = self.children["serve"].poll()
            if code is not None:
                raise fail(f"The API server ended with code {code} while it started")
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(url, timeout=2, trust_env=False).status_code == httpx2.codes.OK:
                    return
            time.sleep(POLL_EVERY_S)
        raise fail(f"The API server was not ready within {READY_TIMEOUT_S} seconds")

    def _announce(self, first: dict[str, str]) -> None:
        host = "127.0.0.1" if self.settings.host in {"0.0.0.0", "::"} else self.settings.host  # noqa: S104
        out.print(f"\nOPAA is ready: [bold]http://{host}:{self.settings.port}[/]", highlight=False)
        if first.get("password"):
            out.print("First log-in (shown this once; change it with `opaa user set-password admin`):")
            out.print(f"  login:    admin\n  password: {escape(first['password'])}", highlight=False)
        else:
            out.print("Log in as before. Forgotten? `opaa user set-password admin --generate`")
        out.print("Stop with Ctrl-C.\n")

    def _stop(self) -> None:
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self.children.values():
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _require_free_port(loaded: Settings) -> None:
    family = socket.AF_INET6 if ":" in loaded.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((loaded.host, loaded.port))
        except OSError as error:
            raise ConflictError(
                f"{loaded.host}:{loaded.port} cannot be used ({error.strerror}); choose another with --port or PORT"
            ) from error


@asynchronous
async def setup(sample: bool = False) -> None:
    """Migrate, create the first organization and account, and connect the samples; prints JSON."""
    from opaa.indexing.samples import connect_samples  # noqa: PLC0415 - only this short-lived process needs it
    from opaa.runtime import open_installation  # noqa: PLC0415

    loaded = settings()
    logs.configure("WARNING", "text")
    async with open_installation(loaded) as opened:
        if sample:
            await connect_samples(opened.database, opened.organization_id)
        sys.stdout.write(json.dumps({"password": opened.first_password or ""}))


def serve(port: Port = None) -> None:
    """Run the API and the web UI."""
    import uvicorn  # noqa: PLC0415 - the supervisor stays small

    from opaa.api.app import create_app  # noqa: PLC0415

    with reported():
        loaded = settings(port=port)
        logs.configure(loaded.log_level, loaded.log_format)
        require_safe(loaded)
        _require_free_port(loaded)
        config = uvicorn.Config(
            create_app(loaded),
            host=loaded.host,
            port=loaded.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the middleware reads them, from trusted proxies only
            timeout_graceful_shutdown=STOP_TIMEOUT_S - 5,
            timeout_keep_alive=75,
        )
        asyncio.run(_serve(uvicorn.Server(config)))


async def _serve(server: "object") -> None:
    import uvicorn  # noqa: PLC0415

    assert isinstance(server, uvicorn.Server)  # noqa: S101 - narrows the type
    await server.serve()
    if not server.started:
        raise OpaaError("The API server could not start; the log above says why")


@asynchronous
async def worker() -> None:
    """Run the worker: it takes jobs from the queue and keeps the schedule."""
    from opaa.indexing.jobs import Worker  # noqa: PLC0415
    from opaa.runtime import keeping_audit, open_indexer, open_runtime  # noqa: PLC0415

    loaded = settings()
    logs.configure(loaded.log_level, loaded.log_format)
    require_safe(loaded)
    async with (
        open_runtime(loaded) as opened,
        keeping_audit(opened),
        open_indexer(opened) as indexer,
        _until_signal() as stopped,
    ):
        work = asyncio.create_task(
            Worker(
                opened.database,
                indexer,
                concurrency=loaded.max_concurrent_indexing_jobs,
                schedule=loaded.indexing_schedule,
            ).run()
        )
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


@asynccontextmanager
async def _until_signal() -> AsyncIterator[asyncio.Task[bool]]:
    """A task that ends with SIGTERM or SIGINT."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    task = asyncio.create_task(event.wait())
    try:
        yield task
    finally:
        task.cancel()
