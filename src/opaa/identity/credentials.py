"""Secrets that identify somebody: how they are made, written down and compared.

A session cookie and an API token both read `<organization id>.<row id>.<secret>` in base62, so the tenant context for
the look-up comes from the credential itself; a forged one finds no row whose hash fits. Only a keyed hash is stored.
"""

import hashlib
import hmac
import secrets
import tempfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from opaa.errors import SettingsError
from opaa.settings import Settings

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
UUID_DIGITS = 22  # 62**22 > 2**128
SECRET_DIGITS = 43  # 62**43 > 2**256
CHECKSUM_DIGITS = 6  # 62**6 > 2**32
TOKEN_PREFIX = "opaa_"  # noqa: S105 - a public marker


class SecretKey:
    """The installation's secret; every use gets a key of its own (HMAC-SHA256 of the use's name)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def derive(self, use: str) -> bytes:
        return hmac.digest(self._secret, use.encode(), "sha256")

    def sign(self, use: str, message: bytes) -> bytes:
        return hmac.digest(self.derive(use), message, "sha256")


def load_secret_key(settings: Settings) -> SecretKey:
    """SECRET_KEY, or one generated once into the data folder (development only)."""
    if settings.secret_key:
        return SecretKey(settings.secret_key.get_secret_value().encode())
    path: Path = settings.data_dir / "secret.key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Written apart and linked, so that no process ever reads half a key and the first one wins.
            with tempfile.NamedTemporaryFile("w", dir=settings.data_dir, encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                with suppress(FileExistsError):
                    path.hardlink_to(file.name)
        return SecretKey(path.read_text(encoding="utf-8").strip().encode())
    except OSError as error:
        raise SettingsError(f"{path} cannot be used ({error.strerror}); set SECRET_KEY") from error


@dataclass(frozen=True, slots=True)
class Credential:
    """What a cookie or token says: where to look, and the secret to compare."""

    organization_id: UUID
    row_id: UUID
    secret: str


def new_secret() -> str:
    return base62(int.from_bytes(secrets.token_bytes(32), "big"), SECRET_DIGITS)


def hash_secret(key: SecretKey, use: str, secret: str) -> bytes:
    return key.sign(use, secret.encode())


def format_session(organization_id: UUID, session_id: UUID, secret: str) -> str:
    return base62(organization_id.int, UUID_DIGITS) + base62(session_id.int, UUID_DIGITS) + secret


def parse_session(value: str) -> Credential | None:
    """None for anything that is not the form of a session cookie."""
    if len(value) != 2 * UUID_DIGITS + SECRET_DIGITS:
        return None
    organization, row = from_base62(value[:UUID_DIGITS]), from_base62(value[UUID_DIGITS : 2 * UUID_DIGITS])
    if organization is None or row is None or max(organization, row) >= 1 << 128:
        return None
    return Credential(UUID(int=organization), UUID(int=row), value[2 * UUID_DIGITS :])


def format_token(organization_id: UUID, token_id: UUID, secret: str) -> str:
    """`opaa_`, the body, and a CRC-32 of it, so that scanners for leaked secrets can tell a real one."""
    body = format_session(organization_id, token_id, secret)
    return f"{TOKEN_PREFIX}{body}{base62(zlib.crc32(body.encode()), CHECKSUM_DIGITS)}"


def parse_token(value: str) -> Credential | None:
    """None for anything that is not the form of an API token."""
    if not value.startswith(TOKEN_PREFIX) or len(value) > 200:
        return None
    body, checksum = value[len(TOKEN_PREFIX) : -CHECKSUM_DIGITS], value[-CHECKSUM_DIGITS:]
    if base62(zlib.crc32(body.encode()), CHECKSUM_DIGITS) != checksum:
        return None
    return parse_session(body)


def matches(key: SecretKey, use: str, secret: str, stored: bytes) -> bool:
    return hmac.compare_digest(hash_secret(key, use, secret), stored)


def csrf_token(key: SecretKey, session_id: UUID) -> str:
    """What a page must send back with every change; another site's page cannot know it."""
    return hashlib.sha256(key.sign("csrf", session_id.bytes)).hexdigest()


def base62(number: int, digits: int) -> str:
    text = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text.append(ALPHABET[digit])
    return "".join(reversed(text))


def from_base62(text: str) -> int | None:
    number = 0
    for character in text:
        digit = ALPHABET.find(character)
        if digit < 0:
            return None
        number = number * 62 + digit
    return number
