"""Files that cannot be indexed: each gets a row with the reason, and nothing else suffers."""

import os
from pathlib import Path
from typing import Any

import pytest

from opaa.extraction.port import Reason
from opaa.indexing import pipeline
from opaa.indexing.models import SUCCEEDED
from opaa.sources.filesystem import FilesystemConnector, FilesystemSettings
from opaa.sources.service import connector as open_connector
from tests.integration.extraction.files import bomb_docx, encrypted_pdf
from tests.integration.indexing.conftest import Folder


@pytest.mark.req("SRC-7", "SRC-6")
async def test_each_bad_file_is_kept_with_its_reason_while_the_good_ones_are_indexed(folder: Folder) -> None:
    await folder.set_settings(max_bytes=200_000)
    folder.write("good.md", "# Good\n\nText.")
    folder.write("empty.txt", b"")
    folder.write("secret.pdf", encrypted_pdf())
    folder.write("bomb.docx", bomb_docx())
    folder.write("large.txt", b"a" * 200_001)
    folder.write("broken.pdf", b"%PDF-1.4 nonsense")
    folder.write("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    run = await folder.sync()
    assert (run.state, run.added, run.failed) == (SUCCEEDED, 1, 6)
    errors = await folder.errors()
    reasons = {name: error.error_reason for name, error in errors.items()}
    assert reasons == {
        "empty.txt": Reason.EMPTY,
        "secret.pdf": Reason.ENCRYPTED,
        "bomb.docx": Reason.ZIP_BOMB,
        "large.txt": Reason.TOO_LARGE,
        "broken.pdf": Reason.CORRUPT,
        "picture.png": Reason.UNSUPPORTED,
    }
    for error in errors.values():
        assert len(error.error_message) > 10
        assert "Traceback" not in error.error_message


async def test_invalid_utf8_is_indexed_with_a_warning(folder: Folder) -> None:
    folder.write("mixed.txt", b"The answer is forty-two.\n\xff\xfe\x80 broken bytes \xc3\x28 here.\n")
    run = await folder.sync()
    assert run.failed + run.added == 1
    if run.added:
        assert (await folder.documents())["mixed.txt"].warnings


async def test_nul_bytes_and_lone_surrogates_do_not_reach_the_database(folder: Folder) -> None:
    folder.write("nul.txt", b"Before\0after, and more words.\n")
    folder.write("escape.json", rb'{"title": "a\u0000b \ud800 c", "deep": {"x\u0000": "y"}}')
    folder.write("front.md", b'---\ntitle: "N\\0L"\nowner: "a\\0b"\n---\n\nText\n')
    run = await folder.sync()
    assert (run.state, run.failed) == (SUCCEEDED, 0)
    assert "internal" not in {error.error_reason for error in (await folder.errors()).values()}


@pytest.mark.req("SRC-7", "SRC-6")
async def test_a_failed_file_is_tried_again_and_counted(folder: Folder) -> None:
    path = folder.write("later.txt", b"")
    await folder.sync()
    first = (await folder.errors())["later.txt"]
    run = await folder.sync()
    assert run.failed == 1
    second = (await folder.errors())["later.txt"]
    assert (first.attempts, second.attempts) == (1, 2)
    assert second.first_failed_at == first.first_failed_at
    path.write_text("Now it says something.")
    run = await folder.sync()
    assert (run.added, run.failed) == (1, 0)
    assert await folder.errors() == {}


@pytest.mark.req("SRC-7", "SRC-6")
async def test_a_file_that_fails_after_an_earlier_success_keeps_its_old_version(folder: Folder) -> None:
    path = folder.write("report.txt", "The first version.")
    await folder.sync()
    before = await folder.chunks()
    path.write_bytes(b"")
    run = await folder.sync()
    assert (run.failed, run.removed) == (1, 0)
    assert await folder.chunks() == before
    assert (await folder.errors())["report.txt"].document_id == before[0].document_id
    path.write_text("The first version.")  # as it was: nothing to index, and no error any more
    run = await folder.sync()
    assert (run.unchanged, run.changed, run.failed) == (1, 0, 0)
    assert await folder.errors() == {}
    assert await folder.chunks() == before


async def test_pipes_dangling_links_and_links_to_folders_are_passed_over(folder: Folder, tmp_path: Path) -> None:
    folder.write("good.txt", "Text.")
    os.mkfifo(folder.path / "pipe.txt")
    (folder.path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    (folder.path / "loop").symlink_to(folder.path, target_is_directory=True)
    (folder.path / "linked.txt").symlink_to(folder.path / "good.txt")
    run = await folder.sync()
    assert (run.state, run.failed) == (SUCCEEDED, 0)
    assert set(await folder.documents()) == {"good.txt", "linked.txt"}


class BusyFile(FilesystemConnector):
    """While it reads a file, somebody else replaces the file."""

    times = 1

    def __init__(self, settings: FilesystemSettings) -> None:
        super().__init__(settings)
        real = self._fs.open

        def open_then_replace(path: str, mode: str) -> Any:
            file = real(path, mode)
            if BusyFile.times:
                BusyFile.times -= 1
                replacement = Path(path).with_suffix(".new")
                replacement.write_text(f"Replaced, {BusyFile.times} to go.")
                replacement.replace(path)
            return file

        self._fs = type("Busy", (), {"open": staticmethod(open_then_replace), "info": self._fs.info})()
        self._listing = FilesystemConnector(settings)

    def list_items(self):
        return self._listing.list_items()


@pytest.mark.parametrize(("times", "expected"), [(1, None), (9, "changed-while-read")])
async def test_a_file_replaced_while_it_is_read_is_never_indexed_in_halves(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, times: int, expected: str | None
) -> None:
    folder.write("busy.txt", "The old text.")
    BusyFile.times = times
    monkeypatch.setattr(
        pipeline, "open_connector", lambda source, _: BusyFile(FilesystemSettings.model_validate(source.settings))
    )
    run = await folder.sync()
    errors = await folder.errors()
    if expected is None:
        assert run.added == 1
        assert (await folder.chunks())[0].text == "Replaced, 0 to go."
        return
    assert errors["busy.txt"].error_reason == expected
    monkeypatch.setattr(pipeline, "open_connector", open_connector)
    run = await folder.sync()
    assert (run.added, run.failed) == (1, 0)


@pytest.mark.parametrize(
    "name", ["ünïcödé – 文書.txt", "with space & 'quote\".txt", "[1] 100%.txt", "a" * 240 + ".txt"]
)
async def test_unusual_names_are_indexed(folder: Folder, name: str) -> None:
    folder.write(name, "Some text.")
    run = await folder.sync()
    assert (run.added, run.failed) == (1, 0)
    assert set(await folder.documents()) == {name}


async def test_a_name_that_is_not_utf8_is_reported_and_stops_nothing(folder: Folder) -> None:
    folder.write("good.txt", "Text.")
    with open(os.fsencode(folder.path) + b"/b\xe4d.txt", "wb") as file:  # noqa: PTH123, ASYNC230 - a name in bytes
        file.write(b"Some text.")
    run = await folder.sync()
    assert run.state == SUCCEEDED
    assert set(await folder.documents()) == {"good.txt"}
    assert [error.error_reason for error in (await folder.errors()).values()] == ["bad-name"]
