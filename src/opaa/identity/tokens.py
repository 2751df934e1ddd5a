"""API tokens: made, checked, rotated, revoked."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.access.permissions import check_scopes
from opaa.access.service import Access
from opaa.audit import service as audit
from opaa.db.base import utc_now, uuid7
from opaa.db.session import Database
from opaa.errors import AuthenticationError, InvalidInputError, NotFoundError
from opaa.identity import credentials
from opaa.identity.credentials import Credential, SecretKey
from opaa.identity.models import ApiToken, User
from opaa.identity.service import SEEN_EVERY, Identity, identity_of
from opaa.identity.sessions import outside

LONGEST_OVERLAP = timedelta(days=7)
MOST_NETWORKS = 50


async def authenticate_token(database: Database, key: SecretKey, value: str, address: str) -> Identity:
    """The account behind an API token, limited to the token's scopes and workspaces. Raises AuthenticationError."""
    credential = credentials.parse_token(value)
    if credential is None:
        raise AuthenticationError("The token is not one of this installation's")
    async with database.session(outside(credential.organization_id)) as session:
        row = await session.get(ApiToken, credential.row_id)
        now = utc_now()
        if row is None or not _valid(row, key, credential, now):
            raise AuthenticationError("The token is unknown, expired or revoked")
        if row.networks is not None and not _within(address, row.networks):
            await audit.record(
                session,
                row.organization_id,
                f"user:{row.user_id}",
                "token.refused",
                target=f"token:{row.id}",
                outcome="denied",
                private={"address": address},
            )
            await session.commit()
            raise AuthenticationError("The token may not be used from this address")
        user = await session.get_one(User, row.user_id)
        identity = await identity_of(session, user)
        if row.last_used_at is None or now - row.last_used_at > SEEN_EVERY:
            row.last_used_at, row.last_used_address = now, address[:100]
            await session.commit()
    access = _limited(identity.access, row.workspace_ids)
    return replace(identity, access=access, token_id=row.id, scopes=tuple(row.scopes))


def _valid(row: ApiToken, key: SecretKey, credential: Credential, now: datetime) -> bool:
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return False
    current = credentials.matches(key, "token", credential.secret, row.secret_hash)
    overlapping = row.previous_hash is not None and row.previous_until is not None and row.previous_until > now
    return current or (overlapping and credentials.matches(key, "token", credential.secret, row.previous_hash or b""))


def _within(address: str, networks: Sequence[str]) -> bool:
    try:
        client = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(client, "ipv4_mapped", None) or client
    return any(mapped in ip_network(network) for network in networks)


def _limited(access: Access, workspace_ids: Sequence[UUID] | None) -> Access:
    if workspace_ids is None:
        return access
    kept = tuple(workspace for workspace in access.workspaces if workspace.id in workspace_ids)
    return Access(kept, {workspace.id: access.roles[workspace.id] for workspace in kept}, access.group_ids)


async def create_token(
    session: AsyncSession,
    key: SecretKey,
    user: User,
    name: str,
    scopes: list[str],
    *,
    expires_at: datetime | None = None,
    workspaces: Sequence[Workspace] | None = None,
    networks: Sequence[str] | None = None,
    created_by: UUID | None = None,
) -> tuple[ApiToken, str]:
    """A new API token and, this once, its text. `workspaces` and `networks` (CIDR) limit it; None does not."""
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError("A token's name is 1 to 200 printable characters")
    if expires_at is not None and expires_at <= utc_now():
        raise InvalidInputError("The token would have expired already")
    secret = credentials.new_secret()
    token = ApiToken(
        id=uuid7(),
        organization_id=user.organization_id,
        user_id=user.id,
        name=name,
        secret_hash=credentials.hash_secret(key, "token", secret),
        scopes=check_scopes(scopes),
        workspace_ids=[workspace.id for workspace in workspaces] if workspaces is not None else None,
        networks=_checked_networks(networks),
        created_by=created_by or user.id,
        expires_at=expires_at,
    )
    session.add(token)
    await audit.record(
        session,
        user.organization_id,
        f"user:{created_by or user.id}",
        "token.created",
        target=f"token:{token.id}",
        details={"user": str(user.id), "scopes": token.scopes, "networks": token.networks},
    )
    return token, credentials.format_token(user.organization_id, token.id, secret)


def _checked_networks(networks: Sequence[str] | None) -> list[str] | None:
    if networks is None:
        return None
    if not 1 <= len(networks) <= MOST_NETWORKS:
        raise InvalidInputError(f"A token is limited to 1 to {MOST_NETWORKS} networks, or to none at all")
    try:
        return [str(ip_network(network.strip())) for network in networks]
    except ValueError as error:
        raise InvalidInputError(f"{error}; networks read 10.0.0.0/8 or 2001:db8::/32") from error


async def list_tokens(session: AsyncSession, user_id: UUID) -> list[ApiToken]:
    query = select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None)).order_by(ApiToken.id)
    return list(await session.scalars(query))


async def find_token(session: AsyncSession, user_id: UUID, token_id: UUID) -> ApiToken:
    """A token of this account that is not revoked. Raises NotFoundError."""
    token = await session.get(ApiToken, token_id)
    if token is None or token.user_id != user_id or token.revoked_at is not None:
        raise NotFoundError(f"There is no token {token_id}")
    return token


async def rotate_token(
    session: AsyncSession, key: SecretKey, user_id: UUID, token_id: UUID, *, actor: str, overlap_s: int = 0
) -> tuple[ApiToken, str]:
    """A new text for a token; the one before works for `overlap_s` seconds more (at most 7 days)."""
    token = await find_token(session, user_id, token_id)
    overlap = timedelta(seconds=overlap_s)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidInputError("The overlap is 0 to 604800 seconds")
    secret = credentials.new_secret()
    token.previous_hash = token.secret_hash if overlap else None
    token.previous_until = utc_now() + overlap if overlap else None
    token.secret_hash = credentials.hash_secret(key, "token", secret)
    await audit.record(
        session,
        token.organization_id,
        actor,
        "token.rotated",
        target=f"token:{token.id}",
        details={"overlap_s": overlap_s},
    )
    return token, credentials.format_token(token.organization_id, token.id, secret)


async def revoke_token(session: AsyncSession, user_id: UUID, token_id: UUID, *, actor: str) -> None:
    token = await find_token(session, user_id, token_id)
    token.revoked_at = utc_now()
    await audit.record(session, token.organization_id, actor, "token.revoked", target=f"token:{token_id}")
