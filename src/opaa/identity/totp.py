"""Time-based one-time passwords (RFC 6238) and recovery codes."""

import hashlib
import hmac
import secrets
from datetime import datetime

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.errors import ConflictError, InvalidInputError
from opaa.identity.credentials import SecretKey
from opaa.identity.models import User

STEP_S = 30
SKEW_STEPS = 1
RECOVERY_CODES = 10
NONCE_BYTES = 12


def begin(key: SecretKey, user: User, issuer: str) -> tuple[str, str]:
    """A new secret for a person, not in force before it is confirmed: the secret and its `otpauth:` address.

    Raises ConflictError when one is in force.
    """
    if user.totp_confirmed_at is not None:
        raise ConflictError("Two-step log-in is on; turn it off first")
    secret = pyotp.random_base32()
    nonce = secrets.token_bytes(NONCE_BYTES)
    user.totp_secret = nonce + AESGCM(key.derive("totp")).encrypt(nonce, secret.encode(), user.id.bytes)
    return secret, pyotp.TOTP(secret).provisioning_uri(name=user.login, issuer_name=issuer)


async def confirm(session: AsyncSession, key: SecretKey, user: User, code: str) -> list[str]:
    """Put the secret in force with a first code; returns the recovery codes, this once."""
    if user.totp_confirmed_at is not None or user.totp_secret is None:
        raise ConflictError("There is no two-step log-in to confirm")
    if not _accept_code(key, user, code, utc_now()):
        raise InvalidInputError("The code is wrong; check the clock of the device")
    codes = [f"{secrets.token_hex(4)}-{secrets.token_hex(4)}" for _ in range(RECOVERY_CODES)]
    user.totp_confirmed_at = utc_now()
    user.recovery_hashes = [_recovery_hash(key, user, each) for each in codes]
    await audit.record(session, user.organization_id, f"user:{user.id}", "totp.enabled", target=f"user:{user.id}")
    return codes


async def disable(session: AsyncSession, key: SecretKey, user: User, code: str) -> None:
    """Turn it off, with a code. Raises InvalidInputError."""
    if user.totp_confirmed_at is None:
        raise ConflictError("Two-step log-in is off")
    if not accept(key, user, code, utc_now()):
        raise InvalidInputError("The code is wrong")
    await reset(session, user, actor=f"user:{user.id}")


async def reset(session: AsyncSession, user: User, *, actor: str) -> None:
    """Forget a person's authenticator and recovery codes."""
    user.totp_secret, user.totp_confirmed_at, user.totp_last_step, user.recovery_hashes = None, None, 0, []
    await audit.record(session, user.organization_id, actor, "totp.disabled", target=f"user:{user.id}")


def accept(key: SecretKey, user: User, code: str, now: datetime) -> bool:
    """Whether a code of the authenticator, or a recovery code, is right; it then never is again."""
    return _accept_code(key, user, code, now) or _accept_recovery(key, user, code)


def _accept_code(key: SecretKey, user: User, code: str, now: datetime) -> bool:
    code = code.replace(" ", "")
    if user.totp_secret is None or len(code) != 6 or not (code.isascii() and code.isdigit()):
        return False
    sealed = user.totp_secret
    try:
        secret = AESGCM(key.derive("totp")).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], user.id.bytes)
    except InvalidTag:
        return False
    generator = pyotp.TOTP(secret.decode())
    step = int(now.timestamp()) // STEP_S
    for candidate in range(step - SKEW_STEPS, step + SKEW_STEPS + 1):
        if candidate > user.totp_last_step and hmac.compare_digest(generator.generate_otp(candidate), code):
            user.totp_last_step = candidate
            return True
    return False


def _accept_recovery(key: SecretKey, user: User, code: str) -> bool:
    digest = _recovery_hash(key, user, code.strip().lower())
    left = [each for each in user.recovery_hashes if not hmac.compare_digest(each, digest)]
    if len(left) == len(user.recovery_hashes):
        return False
    user.recovery_hashes = left
    return True


def _recovery_hash(key: SecretKey, user: User, code: str) -> bytes:
    return hashlib.sha256(key.sign("recovery", user.id.bytes + code.encode("utf-8", "replace"))).digest()
