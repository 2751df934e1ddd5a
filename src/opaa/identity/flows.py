"""What OPAA remembers between sending somebody to an identity provider and their coming back.

It is in the browser: a cookie that only this installation can read or make (Fernet: AES-CBC and HMAC-SHA256), good for
ten minutes and, by its state's being written down when it is used, for one log-in.
"""

import base64
import hashlib
import json
import secrets
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.base import utc_now
from opaa.identity.credentials import SecretKey
from opaa.identity.external import ExternalIdentity, SignOnError
from opaa.identity.models import UsedNonce

FLOW_LIFETIME = timedelta(minutes=10)
LONGEST_COOKIE = 3800
ID_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Flow:
    """A log-in on its way: at which provider, how its answer is recognised, and where to go afterwards."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str

    @property
    def id(self) -> str:
        """The part of the state that names the cookie, so that two tabs do not disturb each other."""
        return flow_id(self.state)


def flow_id(state: str) -> str:
    return "".join(character for character in state[:ID_CHARACTERS] if character.isalnum() or character in "-_")


def new_flow(provider: str, next_path: str | None) -> Flow:
    return Flow(
        provider,
        "_" + secrets.token_urlsafe(32),  # a SAML request's ID may not begin with a digit
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(48),
        own_path(next_path),
    )


def own_path(path: str | None) -> str:
    """The path, if it is one of this installation's pages, else the first page: no log-in ends elsewhere."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\", "/api/")) or len(path) > 500:
        return "/"
    if "\\" in path or not path.isprintable() or any(character.isspace() for character in path):
        return "/"
    return path


def seal(key: SecretKey, value: Flow | ExternalIdentity, use: str) -> str:
    """A cookie's value that only this installation can read. Raises SignOnError when there is too much to remember."""
    sealed = _fernet(key, use).encrypt(zlib.compress(json.dumps(asdict(value)).encode())).decode()
    if len(sealed) > LONGEST_COOKIE:
        raise SignOnError("invalid", "the provider's answer has more groups than a log-in can carry")
    return sealed


def unseal(key: SecretKey, value: str | None, use: str) -> dict[str, Any]:
    """What was sealed for the same use. Raises SignOnError for anything else, or when it is too old."""
    try:
        text = _fernet(key, use).decrypt((value or "").encode(), ttl=int(FLOW_LIFETIME.total_seconds()))
    except InvalidToken:
        raise SignOnError("expired", "the log-in was not begun in this browser, or more than ten minutes ago") from None
    found: dict[str, Any] = json.loads(zlib.decompress(text))
    return found


def unseal_flow(key: SecretKey, value: str | None, provider: str) -> Flow:
    """Raises SignOnError also when the log-in was begun at another provider (mix-up)."""
    flow = Flow(**unseal(key, value, "sign-on-flow"))
    if flow.provider != provider:
        raise SignOnError("invalid", f"the log-in was begun at {flow.provider} and ended at {provider}")
    return flow


def _fernet(key: SecretKey, use: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key.derive(use)))


async def use_once(session: AsyncSession, organization_id: UUID, what: str, until: datetime) -> bool:
    """Whether this is the first use of `what`; it is remembered until it would not be accepted any more."""
    await session.execute(delete(UsedNonce).where(UsedNonce.expires_at < utc_now()))
    nonce = hashlib.sha256(what.encode()).digest()
    values = {"organization_id": organization_id, "nonce": nonce, "expires_at": until}
    inserted = await session.execute(
        insert(UsedNonce).values(**values).on_conflict_do_nothing().returning(UsedNonce.nonce)
    )
    return inserted.first() is not None
