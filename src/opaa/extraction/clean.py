"""Bytes to text, and text without what readers cannot see."""

import re
import unicodedata

from opaa.extraction.port import Reason, refusal

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_DETECTOR_BYTES = 200_000

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters, lone surrogates, and characters that are invisible on screen but change what a machine reads:
# bidi overrides, zero-width spaces, soft hyphens, tag characters (a known way to smuggle instructions to a model).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
    # Joiners are part of Persian, Indic and emoji text; next to a Latin letter they only hide.
    "|(?<=[\x20-\u024f])[\u200c\u200d]|[\u200c\u200d](?=[\x20-\u024f])"
)
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """`data` as text, with warnings when its encoding had to be guessed.

    Order: byte order mark, UTF-8, UTF-16 recognized by its zero bytes, UTF-8 with few broken bytes, detector.
    Raises ExtractionError(unsupported) when the bytes are not text at all.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            text = data[len(bom) :].decode(encoding, errors="replace")
            return text, _replaced(text, encoding)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_guessing(data)
    if "\x00" in text and (encoding16 := _utf16_without_bom(data)):
        return data.decode(encoding16, errors="replace"), (f"The text has no byte order mark; read as {encoding16}.",)
    if text.count("\x00") > 1 + len(text) // 100:
        raise refusal(Reason.UNSUPPORTED, "the bytes are not text")
    return text, ()


def _decode_guessing(data: bytes) -> tuple[str, tuple[str, ...]]:
    if encoding16 := _utf16_without_bom(data):
        return data.decode(encoding16, errors="replace"), (f"The text has no byte order mark; read as {encoding16}.",)
    if data.count(0) > 1 + len(data) // 100:
        raise refusal(Reason.UNSUPPORTED, "the bytes are not text")
    lenient = data.decode("utf-8", errors="replace")
    broken = lenient.count("\ufffd")
    intact = sum(1 for char in lenient[:_DETECTOR_BYTES] if char > "\x7f" and char != "\ufffd")
    if broken <= intact:
        return lenient, _replaced(lenient, "utf-8")
    from charset_normalizer import from_bytes  # noqa: PLC0415 -- slow to import, rarely needed

    best = from_bytes(data[:_DETECTOR_BYTES], cp_isolation=["cp1252", "cp1250", "cp1251", "mac_roman"]).best()
    encoding = best.encoding if best else "cp1252"
    text = data.decode(encoding, errors="replace")
    if sum(map(text.count, _BINARY_SIGNS)) > len(text) // 50:
        raise refusal(Reason.UNSUPPORTED, "the bytes are not text")
    return text, (f"The text is not valid UTF-8; read as {encoding}.", *_replaced(text, encoding))


_BINARY_SIGNS = [chr(code) for code in range(32) if code not in {9, 10, 12, 13, 27}] + ["\x7f", "\ufffd"]


def _utf16_without_bom(data: bytes) -> str | None:
    """UTF-16 text in a Latin script has a zero in almost every second byte."""
    sample = data[:4096]
    half = len(sample) // 2
    if half < 2:
        return None
    if sample[1::2].count(0) > 0.7 * half and sample[0::2].count(0) < 0.1 * half:
        return "utf-16-le"
    if sample[0::2].count(0) > 0.7 * half and sample[1::2].count(0) < 0.1 * half:
        return "utf-16-be"
    return None


def _replaced(text: str, encoding: str) -> tuple[str, ...]:
    count = text.count("\ufffd")
    return (f"{count} characters are not valid {encoding} and were replaced.",) if count else ()


def clean(text: str) -> str:
    """`text` in NFC with `\\n` line ends, without control and invisible formatting characters, at most one blank line
    in a row, no blank lines around it."""
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n \t")
