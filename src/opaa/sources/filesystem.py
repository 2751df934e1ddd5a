"""Folders, through fsspec: local ones and mounted shares."""

import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from pydantic import BaseModel, ConfigDict, Field, field_validator
from wcmatch import glob

from opaa.errors import InvalidInputError
from opaa.sources.port import Item, ItemError, SourceUnavailableError

GLOB_FLAGS = glob.GLOBSTAR | glob.MATCHBASE | glob.DOTGLOB | glob.EXTGLOB | glob.BRACE | glob.FORCEUNIX
DEFAULT_EXCLUDE = (
    ".*",
    "**/.*/**",
    "~$*",
    "*.tmp",
    "*.swp",
    "*.lock",
    "Thumbs.db",
    "desktop.ini",
    "**/node_modules/**",
)
READ_ATTEMPTS = 2
BAD_NAME = "bad-name"  # fingerprint and reason of a file whose name is no text


class FilesystemSettings(BaseModel):
    """What an administrator says about a folder."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=4096, description="Absolute path of the folder.")
    include: list[str] = Field(default=["**"], max_length=100, description="Globs of files to index, such as *.md.")
    exclude: list[str] = Field(
        default=list(DEFAULT_EXCLUDE), max_length=100, description="Globs of files and folders to leave out."
    )
    max_bytes: int | None = Field(default=None, ge=1, description="Larger files are reported and skipped, in bytes.")

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if "\0" in path or not Path(path).expanduser().is_absolute():
            raise ValueError("must be an absolute path of a folder on the server")
        return str(Path(path).expanduser())


class FilesystemConnector:
    """A folder tree. Links to files are followed, links to folders are not (so loops cannot happen)."""

    def __init__(self, settings: FilesystemSettings) -> None:
        self.settings = settings
        self._fs = fsspec.filesystem("file", auto_mkdir=False)
        self._root = settings.path.rstrip("/") or "/"

    def test(self) -> None:
        """Raise InvalidInputError when the folder cannot be listed."""
        try:
            if not self._fs.isdir(self._root):
                what = "is not a folder" if self._fs.exists(self._root) else "does not exist"
                raise InvalidInputError(f"{self._root} {what} on this server")
            self._fs.ls(self._root, detail=False)
        except OSError as error:
            raise InvalidInputError(f"{self._root} cannot be listed: {error.strerror}") from error

    def list_items(self) -> Iterator[Item]:
        if not self._fs.isdir(self._root):
            raise SourceUnavailableError(f"The folder {self._root} does not exist; nothing was removed from the index")
        try:
            for folder, folders, files in self._fs.walk(self._root, detail=True, on_error="raise"):
                for name in [name for name in folders if self._excluded(self._relative(f"{folder}/{name}"))]:
                    del folders[name]  # walk does not go there
                for name in sorted(files):
                    item = self._item(f"{folder}/{name}", files[name])
                    if item is not None:
                        yield item
        except OSError as error:
            where = error.filename or self._root
            raise SourceUnavailableError(
                f"{where} cannot be listed ({error.strerror}); nothing was removed from the index"
            ) from error

    def get(self, external_id: str) -> Item | None:
        path = posixpath.normpath(f"{self._root}/{external_id}")
        if not path.startswith(self._root.rstrip("/") + "/"):
            return None
        try:
            return self._item(path, self._fs.info(path))
        except OSError:
            return None

    def read(self, item: Item, max_bytes: int) -> bytes:
        if item.fingerprint == BAD_NAME:
            raise ItemError(BAD_NAME, f"The name {item.name} is not UTF-8; rename the file")
        limit = min(max_bytes, self.settings.max_bytes or max_bytes)
        for _ in range(READ_ATTEMPTS):
            current = self.get(item.external_id)
            if current is None:
                raise ItemError("not-found", f"{item.name} disappeared before it was read")
            if current.size_bytes > limit:
                size, most = current.size_bytes / 1e6, limit / 1e6
                raise ItemError("too-large", f"{item.name} has {size:.1f} MB; the limit is {most:.1f} MB")
            try:
                with self._fs.open(f"{self._root}/{item.external_id}", "rb") as file:
                    data: bytes = file.read(limit + 1)
            except FileNotFoundError as error:
                raise ItemError("not-found", f"{item.name} disappeared before it was read") from error
            except OSError as error:
                raise ItemError("permission", f"{item.name} cannot be read: {error.strerror}") from error
            after = self.get(item.external_id)
            if after is not None and after.fingerprint == current.fingerprint and len(data) == current.size_bytes:
                return data
        raise ItemError("changed-while-read", f"{item.name} changed while it was read; the next run tries again")

    def _item(self, path: str, info: dict[str, Any]) -> Item | None:
        relative = self._relative(path)
        if self._excluded(relative) or not glob.globmatch(relative, self.settings.include, flags=GLOB_FLAGS):
            return None
        if info.get("islink"):
            target = info.get("destination") or ""
            target = target.decode() if isinstance(target, bytes) else str(target)
            try:
                info = self._fs.info(posixpath.join(posixpath.dirname(path), target))
            except OSError:
                return None
        if info["type"] != "file":
            return None
        modified = datetime.fromtimestamp(info["mtime"], UTC)
        name = posixpath.basename(path)
        try:
            relative.encode()
        except UnicodeEncodeError:  # bytes that are no UTF-8 arrive as lone surrogates, which no database takes
            relative, path, name = (
                part.encode(errors="surrogateescape").decode(errors="backslashreplace")
                for part in (relative, path, name)
            )
            return Item(relative, f"file://{path}", name, int(info["size"]), modified, BAD_NAME)
        fingerprint = f"{info['size']}:{info['mtime']!r}:{info.get('ino', 0)}"
        return Item(relative, f"file://{path}", name, int(info["size"]), modified, fingerprint)

    def _relative(self, path: str) -> str:
        return path[len(self._root.rstrip("/")) + 1 :]

    def _excluded(self, relative: str) -> bool:
        return bool(glob.globmatch(relative, self.settings.exclude, flags=GLOB_FLAGS))
