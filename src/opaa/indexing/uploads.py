"""Files that people upload: checked, stored whole or not at all, then indexed like any folder."""

import asyncio
import errno
import os
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

from opaa.db.base import uuid7
from opaa.errors import InvalidInputError, StorageFullError, TooLargeError

LONGEST_NAME_BYTES = 200


def safe_name(name: str) -> str:
    """The last part of a client's file name, without anything that a file system or a page could trip over.

    Raises InvalidInputError when nothing is left.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    name = "".join(
        " " if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else character
        for character in name
    )
    name = " ".join(name.split()).lstrip(".").strip()
    if not name or name in {"..", "."}:
        raise InvalidInputError("The file has no usable name")
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    while len((stem + suffix).encode()) > LONGEST_NAME_BYTES:
        if not stem:
            raise InvalidInputError("The file's name is too long")
        stem = stem[:-1]
    return stem + suffix


async def store_upload(folder: Path, name: str, content: AsyncIterator[bytes], max_bytes: int) -> int:
    """Write an upload beside its place and move it there; the number of bytes.

    An earlier file of the same name is replaced. Raises TooLargeError, InvalidInputError (empty) or StorageFullError,
    and then leaves nothing behind.
    """
    partial = folder / f".partial-{uuid7().hex}"
    written = 0
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with partial.open("wb") as file:
            async for block in content:
                written += len(block)
                if written > max_bytes:
                    raise TooLargeError(f"{name} is larger than the limit of {max_bytes / 1e6:.0f} MB")
                await asyncio.to_thread(file.write, block)
            if not written:
                raise InvalidInputError(f"{name} is empty")
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        partial.replace(folder / name)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFullError(f"There is no space left to store {name}") from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return written
