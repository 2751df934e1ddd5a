"""Hostile files: each ends with its reason (or sensible text), and the pool goes on working."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from opaa.errors import ExtractionError
from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Limits, Reason
from tests.integration.extraction import files

pytestmark = pytest.mark.req("SRC-7")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ExtractionPool]:
    async with ExtractionPool(Limits(timeout_s=30)) as pool:
        yield pool


async def _reason(pool: ExtractionPool, data: bytes, name: str) -> str:
    with pytest.raises(ExtractionError) as caught:
        await pool.extract(data, name)
    assert caught.value.message.startswith(Reason(caught.value.reason).sentence)
    assert (await pool.extract(b"# Still here", "a.md")).title == "Still here"
    return caught.value.reason


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (lambda: b"", "a.md", Reason.EMPTY),
        (lambda: b" \n\t \n", "a.txt", Reason.EMPTY),
        (lambda: b"\xef\xbb\xbf", "a.md", Reason.EMPTY),
        (files.encrypted_pdf, "a.pdf", Reason.ENCRYPTED),
        (files.encrypted_docx, "a.docx", Reason.ENCRYPTED),
        (files.encrypted_entry_docx, "a.docx", Reason.ENCRYPTED),
        (files.bomb_docx, "a.docx", Reason.ZIP_BOMB),
        (files.overlapping_docx, "a.docx", Reason.ZIP_BOMB),
        (files.lying_docx, "a.docx", Reason.CORRUPT),
        (files.million_entries, "a.docx", Reason.TOO_COMPLEX),
        (files.billion_laughs_docx, "a.docx", Reason.UNSAFE),
        (files.external_entity_docx, "a.docx", Reason.UNSAFE),
        (lambda: files.external_entity_docx("utf-16"), "a.docx", Reason.UNSAFE),
        (lambda: files.docx(files.document_xml(""))[:-30], "a.docx", Reason.CORRUPT),
        (lambda: files.docx(files.document_xml("")), "a.docx", Reason.NO_TEXT),
        (lambda: files.archive({"a.txt": b"text"}), "a.zip", Reason.UNSUPPORTED),
        (lambda: files.archive({"a.txt": b"text"}), "a.docx", Reason.UNSUPPORTED),
        (lambda: b"%PDF-1.7\n" + b"\x00garbage" * 50, "a.pdf", Reason.CORRUPT),
        (lambda: files.pdf([]), "scan.pdf", Reason.NO_TEXT),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "a.png", Reason.UNSUPPORTED),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "a.md", Reason.UNSUPPORTED),
        (
            lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "a.md",
            Reason.UNSUPPORTED,
        ),
        (lambda: b"<?xml version='1.0'?><svg onload='x()'>t</svg>", "a.html", Reason.UNSUPPORTED),
        (lambda: b"a.txt".ljust(257, b"\x00") + b"ustar\x0000" + bytes(1000), "a.tar", Reason.UNSUPPORTED),
        (lambda: b"\x7fELF" + bytes(range(256)) * 9, "a.txt", Reason.UNSUPPORTED),
        (lambda: bytes(range(256)) * 40, "a.dat", Reason.UNSUPPORTED),
        (lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "a.json", Reason.TOO_COMPLEX),
        (lambda: b"[" * 900 + b'{"a": 1}' + b"]" * 900, "a.json", Reason.TOO_COMPLEX),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_hostile_file_is_refused_with_its_reason(
    pool: ExtractionPool, make: Callable[[], bytes], name: str, reason: Reason
) -> None:
    assert await _reason(pool, make(), name) == reason


@pytest.mark.parametrize("make", [files.looping_pdf, files.filter_chain_pdf, lambda: files.pdf(["cut"])[:300]])
@pytest.mark.asyncio(loop_scope="module")
async def test_looping_or_broken_pdfs_end_with_a_reason(pool: ExtractionPool, make: Callable[[], bytes]) -> None:
    assert await _reason(pool, make(), "a.pdf") in {Reason.CORRUPT, Reason.NO_TEXT, Reason.CRASHED}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_an_office_file_embeds_is_never_opened(pool: ExtractionPool) -> None:
    assert (await pool.extract(files.nested_bomb_docx(), "a.docx")).text == "harmless"


@pytest.mark.asyncio(loop_scope="module")
async def test_deep_html_and_mail_neither_crash_nor_hang(pool: ExtractionPool) -> None:
    html = b"<html><p>top</p>" + b"<div>" * 1_000_000 + b"deep"
    mail = "MIME-Version: 1.0\nSubject: nest\n" + "".join(
        f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(5_000)
    )
    results = await pool.extract_many([(html, "a.html"), (mail.encode(), "a.eml"), (b"# After", "a.md")])
    assert not isinstance(results[2], ExtractionError)
    for result in results[:2]:
        assert not isinstance(result, ExtractionError) or result.reason in {Reason.NO_TEXT, Reason.TOO_COMPLEX}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_sheet_as_large_as_a_sheet_can_be_is_refused_or_read_in_bounds(pool: ExtractionPool) -> None:
    (result, after) = await pool.extract_many([(files.vast_xlsx(), "a.xlsx"), (b"# After", "a.md")])
    assert not isinstance(after, ExtractionError)
    if isinstance(result, ExtractionError):
        assert result.reason in {Reason.MEMORY, Reason.TOO_LARGE, Reason.CORRUPT}
    else:
        assert len(result.text) < 1_000_000


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<!---->" * 100_000 + "x", "a.md"),
        ("<html>" + "<meta name " * 300_000, "a.html"),
        ("<html>" + "<title>" * 300_000, "a.html"),
        ("<!doctype html>" + "<!--" * 300_000, "a.html"),
        ("(data:" * 300_000, "a.md"),
        ("# " + "[" * 2_000_000, "a.md"),
        ("# x" + " #" * 1_000_000 + "x", "a.md"),
        ("a\n" + " " * 1_000_000 + "|-", "a.md"),
        ("a|b\n" + " " * 1_000_000 + "|-x", "a.md"),
        ("---\n" + "a: b\n" * 200_000 + "---", "a.md"),
        ("---\n" + "- " * 8_000 + "a: b\n---\nx", "a.md"),
        ("=" * 1_000_000 + "x\n" + "-" * 1_000_000 + "x", "a.md"),
        ("\n" + " \n" * 1_000_000 + "x", "a.txt"),
        ('"' * 1_000_000 + ",\n" + ",;" * 500_000, "a.csv"),
        ("MIME-Version: 1.0\nTo: " + "a@b.example, " * 50_000 + "\n\nx", "a.eml"),
        ("MIME-Version: 1.0\nSubject: " + "=?utf-8?q?=41?= " * 20_000 + "\n\nx", "a.eml"),
    ],
)
async def test_text_made_to_stall_patterns_is_read_or_refused_in_moments(text: str, name: str) -> None:
    async with ExtractionPool(Limits(timeout_s=15)) as pool:
        (result,) = await pool.extract_many([(text.encode(), name)])
        assert not isinstance(result, ExtractionError) or result.reason in {Reason.NO_TEXT, Reason.TOO_COMPLEX}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_very_long_line_is_read(pool: ExtractionPool) -> None:
    assert len((await pool.extract(b"a" * 8_000_000, "a.txt")).text) == 8_000_000


@pytest.mark.asyncio(loop_scope="module")
async def test_more_text_than_allowed_is_refused(pool: ExtractionPool) -> None:
    assert await _reason(pool, b"word " * 3_000_000, "a.txt") == Reason.TOO_LARGE


@pytest.mark.asyncio(loop_scope="module")
async def test_yaml_aliases_cannot_grow(pool: ExtractionPool) -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10))
    result = await pool.extract(f"---\nl0: &l0 lol\n{levels}\n---\n# Laughs\n".encode(), "a.md")
    assert result.title == "Laughs"
    assert "front matter" in result.warnings[0]


@pytest.mark.asyncio(loop_scope="module")
async def test_wrong_extension_the_bytes_decide(pool: ExtractionPool) -> None:
    result = await pool.extract(files.pdf(["Calibration certificate"]), "a.docx")
    assert (result.content_type, result.text) == ("application/pdf", "Calibration certificate")
    assert "application/pdf" in result.warnings[0]


async def test_a_file_over_the_limit_is_not_even_sent() -> None:
    async with ExtractionPool(Limits(max_bytes=1000)) as pool:
        with pytest.raises(ExtractionError) as caught:
            await pool.extract(bytes(1001), "a.md")
        assert caught.value.reason == Reason.TOO_LARGE
        assert pool.child_pids == ()


async def test_a_big_sheet_in_little_memory_is_refused() -> None:
    cells = "".join(f"<w:p><w:r><w:t>{n} {'x' * 40}</w:t></w:r></w:p>" for n in range(100_000))
    async with ExtractionPool(Limits(memory_bytes=12_000_000)) as pool:
        with pytest.raises(ExtractionError) as caught:
            await pool.extract(files.docx(files.document_xml(cells)), "a.docx")
        assert caught.value.reason == Reason.MEMORY
        assert (await pool.extract(b"fine", "a.txt")).text == "fine"


async def test_a_hostile_file_does_not_hold_up_the_event_loop() -> None:
    async with ExtractionPool(Limits(timeout_s=30)) as pool:
        work = asyncio.create_task(pool.extract(json.dumps([{"n": n} for n in range(100_000)]).encode(), "a.json"))
        turns = 0
        while not work.done():
            turns += 1
            await asyncio.sleep(0)
        assert (await work).text.startswith("| n |")
        assert turns > 1_000
