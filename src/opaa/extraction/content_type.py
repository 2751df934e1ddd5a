"""What a file is: its bytes decide, its name only chooses among the kinds of text."""

import io
import re
import zipfile
from pathlib import PurePath

from opaa.extraction.port import Reason, refusal

MARKDOWN = "text/markdown"
TEXT = "text/plain"
HTML = "text/html"
CSV = "text/csv"
JSON_TYPE = "application/json"
JSON_LINES = "application/x-ndjson"
EML = "message/rfc822"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"

ZIPPED = frozenset({DOCX, PPTX, XLSX, ODT, ODS})

_BY_EXTENSION = {
    **dict.fromkeys((".md", ".markdown", ".mdx", ".mkd"), MARKDOWN),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".csv", ".tsv"), CSV),
    ".json": JSON_TYPE,
    **dict.fromkeys((".jsonl", ".ndjson"), JSON_LINES),
    ".eml": EML,
    ".pdf": PDF,
    **dict.fromkeys((".docx", ".docm"), DOCX),
    **dict.fromkeys((".pptx", ".pptm"), PPTX),
    **dict.fromkeys((".xlsx", ".xlsm"), XLSX),
    ".odt": ODT,
    ".ods": ODS,
}
_MAGIC_UNSUPPORTED = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ", "xz archive"),
    (b"7z\xbc\xaf", "7z archive"),
    (b"Rar!", "RAR archive"),
    (b"\x28\xb5\x2f\xfd", "zstd archive"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"SQLite format 3", "database"),
    (b"ID3", "audio"),
    (b"OggS", "audio"),
    (b"RIFF", "media file"),
    (b"%!PS", "PostScript"),
    (b"{\\rtf", "RTF"),
)
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HTML_START = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)[\s>]",
    re.I | re.S,
)
_SVG_START = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<svg[\s>]", re.I)
_MAIL_HEADER = re.compile(
    rb"\A(?:From|To|Return-Path|Received|Delivered-To|Message-ID|MIME-Version|Date|Subject|X-[\w-]+):", re.I
)
_MAIL_PROOF = re.compile(rb"^(?:Message-ID|MIME-Version|Received|Return-Path):", re.I | re.M)


def by_name(file_name: str) -> str | None:
    """The content type that the extension promises; None for an unknown one."""
    return _BY_EXTENSION.get(PurePath(file_name).suffix.lower())


def detect(data: bytes, file_name: str) -> str:
    """The content type of `data`.

    Raises ExtractionError: `encrypted` for an office file in an encrypted container, `unsupported` for kinds that
    hold no text OPAA reads, `corrupt` for a ZIP without a directory.
    """
    promised = by_name(file_name)
    if data[:1024].lstrip().startswith(b"%PDF-") or (promised == PDF and b"%PDF-" in data[:1024]):
        return PDF
    if data.startswith(b"PK\x03\x04") or data.startswith(b"PK\x05\x06"):
        return _zip_kind(data)
    if data.startswith(_OLE2):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise refusal(Reason.ENCRYPTED)
        raise refusal(Reason.UNSUPPORTED, "an office file from before 2007; save it as DOCX, XLSX or PPTX")
    for magic, kind in _MAGIC_UNSUPPORTED:
        if data.startswith(magic) and (len(magic) > 2 or b"\x00" in data[:64]):
            raise refusal(Reason.UNSUPPORTED, kind)
    if _HTML_START.match(data[:4096]):
        return HTML
    if _SVG_START.match(data[:4096]):
        raise refusal(Reason.UNSUPPORTED, "SVG image")
    if promised == PDF or promised in ZIPPED:
        if b"\x00" in data[:4096] or not data.strip():
            raise refusal(Reason.CORRUPT, "the name promises another kind of file than the bytes are")
        promised = None
    if promised is None or promised == TEXT:
        head = data[:8192]
        return EML if _MAIL_HEADER.match(head) and _MAIL_PROOF.search(head) else TEXT
    return promised


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            kind = archive.read("mimetype").decode("ascii", "replace").strip() if _small(archive, "mimetype") else ""
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        raise refusal(Reason.CORRUPT, "its archive cannot be read") from error
    except RuntimeError as error:  # zipfile's word for an encrypted entry
        raise refusal(Reason.ENCRYPTED) from error
    if kind in (ODT, ODS):
        return kind
    for folder, content_type in (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX)):
        if "[Content_Types].xml" in names and any(name.startswith(folder) for name in names):
            return content_type
    raise refusal(Reason.UNSUPPORTED, "an archive; its files are not opened")


def _small(archive: zipfile.ZipFile, name: str) -> bool:
    return name in archive.namelist() and archive.getinfo(name).file_size < 200
