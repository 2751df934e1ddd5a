"""Names and bytes of uploads: stored whole or not at all."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.access.models import Workspace
from opaa.errors import InvalidInputError, TooLargeError
from opaa.indexing.uploads import LONGEST_NAME_BYTES, safe_name, store_upload
from opaa.sources.service import upload_folder, upload_source
from tests.integration.indexing.conftest import Folder


async def blocks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Brief.docx", "Brief.docx"),
        ("Über uns – 文書.md", "Über uns – 文書.md"),
        ("a\0b\nc\u202e.txt", "a b c .txt"),
        (".partial-x.txt", "partial-x.txt"),
        ("  many   spaces .txt", "many spaces .txt"),
        ("A\u030a.txt", "Å.txt"),
    ],
)
def test_names_lose_what_is_dangerous(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@pytest.mark.parametrize("name", ["", ".", "..", "../..", "/", "\0", "...", "a." + "x" * 300])
def test_names_of_which_nothing_is_left_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError):
        safe_name(name)


@given(st.text(max_size=400))
def test_a_name_is_always_one_plain_part_of_a_path(name: str) -> None:
    try:
        safe = safe_name(name)
    except InvalidInputError:
        return
    assert 0 < len(safe.encode()) <= LONGEST_NAME_BYTES
    assert "/" not in safe
    assert "\0" not in safe
    assert not safe.startswith(".")
    assert safe_name(safe) == safe


async def test_a_file_appears_whole_replaces_the_old_one_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "uploads"
    assert await store_upload(folder, "a.txt", blocks(b"one ", b"two"), 100) == 7
    assert (folder / "a.txt").read_bytes() == b"one two"

    async def watched() -> AsyncIterator[bytes]:
        yield b"new"
        assert (folder / "a.txt").read_bytes() == b"one two"  # until everything has come
        yield b"er"

    await store_upload(folder, "a.txt", watched(), 100)
    assert (folder / "a.txt").read_bytes() == b"newer"

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionError

    for content, error in ((blocks(b"x" * 101), TooLargeError), (blocks(), InvalidInputError), (broken(), Exception)):
        with pytest.raises(error):
            await store_upload(folder, "a.txt", content, 100)
        assert [path.name for path in folder.iterdir()] == ["a.txt"]
        assert (folder / "a.txt").read_bytes() == b"newer"


FULL = """
import asyncio, sys
from pathlib import Path
from opaa.access.models import Workspace
from opaa.errors import StorageFullError
from opaa.indexing.uploads import store_upload

async def blocks(size):
    for _ in range(size):
        yield b"x" * 65536

async def main():
    folder = Path(sys.argv[1])
    await store_upload(folder, "small.txt", blocks(2), 10**9)
    try:
        await store_upload(folder, "small.txt", blocks(100), 10**9)
    except StorageFullError as error:
        names = sorted(path.name for path in folder.iterdir())
        print(error.status, error.message, names, (folder / "small.txt").stat().st_size)

asyncio.run(main())
"""


def test_a_full_disk_is_said_and_keeps_what_was_there(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, str(tmp_path), sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "507 There is no space left to store small.txt ['small.txt'] 131072\n", done.stderr


async def test_a_lost_folder_of_uploads_loses_no_document(folder: Folder) -> None:
    uploads = folder.indexer.options.uploads_dir
    async with folder.database.transaction(folder.tenant.system) as session:
        workspace = await session.get_one(Workspace, folder.tenant.workspace_id)
        source = await upload_source(session, workspace)
    folder.source = source
    place = upload_folder(uploads, source)
    await store_upload(place, "a.txt", blocks(b"Some text."), 100)
    assert (await folder.sync()).added == 1
    place.rename(place.with_name("lost"))
    run = await folder.sync()
    assert run.state == "failed"
    assert "nothing was removed" in (run.error or "")
    assert set(await folder.documents()) == {"a.txt"}
    place.with_name("lost").rename(place)
    (place / "a.txt").unlink()  # the last one, deleted: an empty folder of uploads is nothing unusual
    assert (await folder.sync()).removed == 1
