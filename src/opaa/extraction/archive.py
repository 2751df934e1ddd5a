"""Office files are ZIP archives: check them, and hand on only their checked XML parts.

Nothing here believes the archive's own numbers: the directory is counted before it is parsed, every part that is used
is inflated up to a bound, and the reader gets a new archive made of those parts. Media, macros and embedded files
never reach it.
"""

import io
import re
import zipfile
import zlib

from opaa.extraction.port import Limits, Reason, refusal

_DIRECTORY_ENTRY = b"PK\x01\x02"
_PIECE = 1 << 20
_RATIO_FREE_BYTES = 10 * 1024 * 1024
_READ_SUFFIXES = (".xml", ".rels")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")

_REFERENCE = re.compile(rb"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_NAMED = {b"amp": "&", b"lt": "<", b"gt": ">", b"quot": '"', b"apos": "'"}
# Stand-ins from a private-use plane for the characters that XML cannot hold as they are.
_STAND_INS = {"&": "\U0010ff00", "<": "\U0010ff01", ">": "\U0010ff02", '"': "\U0010ff03", "'": "\U0010ff04"}
_BACK = str.maketrans({stand_in: char for char, stand_in in _STAND_INS.items()})


def refuse_many_entries(data: bytes, limits: Limits) -> None:
    """Count the directory's entries without parsing it. Raises ExtractionError(too-complex)."""
    if data.count(_DIRECTORY_ENTRY) > limits.max_archive_entries:
        raise refusal(Reason.TOO_COMPLEX, f"more than {limits.max_archive_entries:,} files inside")


def repack(data: bytes, limits: Limits, *, stand_ins: bool = False) -> bytes:
    """A new archive with the XML parts of `data`, each inflated within bounds and free of document type declarations.

    With `stand_ins`, character references in the parts become private-use characters that `restore` turns back
    (kreuzberg 4.10 drops references in DOCX text, so that "R&D" became "RD").

    Raises ExtractionError: zip-bomb, encrypted, unsafe (DTD), corrupt.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_directory(entries, len(data), limits)
            return _copy(archive, entries, limits, stand_ins)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError, zlib.error) as error:
        raise refusal(Reason.CORRUPT, "its archive cannot be read") from error


def restore(text: str) -> str:
    """`text` with the stand-ins of `repack` turned back into the characters they stand for."""
    return text.translate(_BACK) if any(stand_in in text for stand_in in _STAND_INS.values()) else text


def _check_directory(entries: list[zipfile.ZipInfo], size: int, limits: Limits) -> None:
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise refusal(Reason.ENCRYPTED)
    packed = sum(entry.compress_size for entry in entries)
    unpacked = sum(entry.file_size for entry in entries)
    if packed > size:
        raise refusal(Reason.ZIP_BOMB, "its parts overlap")
    if unpacked > limits.max_archive_bytes:
        raise refusal(Reason.ZIP_BOMB, f"it unpacks to {unpacked:,} bytes")
    if unpacked > max(_RATIO_FREE_BYTES, limits.max_archive_ratio * size):
        raise refusal(Reason.ZIP_BOMB, f"it unpacks to {unpacked // max(size, 1)} times its size")


def _copy(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], limits: Limits, stand_ins: bool) -> bytes:
    budget = min(limits.max_archive_bytes, max(_RATIO_FREE_BYTES, limits.max_archive_ratio * archive.start_dir))
    out = io.BytesIO()
    seen: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as copy:
        for entry in entries:
            name = entry.filename
            if not (name.endswith(_READ_SUFFIXES) or name == "mimetype") or name in seen:
                continue
            seen.add(name)
            if entry.compress_type not in _METHODS:
                raise refusal(Reason.UNSUPPORTED, f"compression method {entry.compress_type}")
            part = _inflate(archive, entry, budget)
            budget -= len(part)
            _check_xml(name, part)
            if stand_ins and name.startswith("word/") and name.endswith(".xml"):
                part = _REFERENCE.sub(_stand_in, part)
            copy.writestr(zipfile.ZipInfo(name), part)
    return out.getvalue()


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: int) -> bytes:
    """The part's bytes; never inflates more than one piece past `budget` or the declared size."""
    bound = min(budget, entry.file_size)
    pieces: list[bytes] = []
    total = 0
    # zipfile stops at the declared size, so a part that lies about it shows as a wrong checksum.
    try:
        with archive.open(entry) as stream:
            while piece := stream.read(_PIECE):
                total += len(piece)
                if total > bound:
                    raise refusal(Reason.ZIP_BOMB, "its parts are larger than they claim")
                pieces.append(piece)
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            raise refusal(Reason.CORRUPT, "a part inside is not what the directory says") from error
        raise
    if total != entry.file_size:
        raise refusal(Reason.CORRUPT, "a part inside is shorter than it claims")
    return b"".join(pieces)


def _check_xml(name: str, part: bytes) -> None:
    if part[:2] in (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<"):
        part = part.replace(b"\x00", b"")
    if any(mark in part for mark in _FORBIDDEN):
        raise refusal(Reason.UNSAFE, name)


def _stand_in(match: re.Match[bytes]) -> bytes:
    if match[1]:
        char = _NAMED[match[1]]
    else:
        code = int(match[2]) if match[2] else int(match[3], 16)
        if code < 32 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            return b" "
        char = chr(code)
    return _STAND_INS.get(char, char).encode()
