"""Users and their credentials."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7

PERSON, SERVICE = "person", "service"


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(default="person")
    login: Mapped[str]
    login_key: Mapped[str]
    display_name: Mapped[str] = mapped_column(default="")
    email: Mapped[str | None]
    email_verified: Mapped[bool] = mapped_column(default=False)
    external_id: Mapped[str | None]
    provisioned_by: Mapped[str | None]
    role: Mapped[str] = mapped_column(default="member")
    password_hash: Mapped[str | None]
    must_change_password: Mapped[bool] = mapped_column(default=False)
    totp_secret: Mapped[bytes | None]
    totp_confirmed_at: Mapped[datetime | None]
    totp_last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    recovery_hashes: Mapped[list[bytes]] = mapped_column(ARRAY(BYTEA), default=list)
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class LoginAttempts(Base):
    """Wrong passwords for one login, whether an account has it or not."""

    __tablename__ = "login_attempts"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    login_hash: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class LoginSession(Base):
    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    secret_hash: Mapped[bytes]
    user_agent: Mapped[str] = mapped_column(default="")
    address: Mapped[str] = mapped_column(default="")
    method: Mapped[str] = mapped_column(default="password")
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    provider_session: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]


class UserIdentity(Base):
    """Who an account is at an identity provider."""

    __tablename__ = "user_identities"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    provider: Mapped[str]
    issuer: Mapped[str]
    subject: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_login_at: Mapped[datetime | None]


class UsedNonce(Base):
    """Something that works once, kept until it would not work any more anyway."""

    __tablename__ = "used_nonces"

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    nonce: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class ApiToken(Base):
    __tablename__ = "api_tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    name: Mapped[str]
    secret_hash: Mapped[bytes]
    scopes: Mapped[list[str]]
    workspace_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    networks: Mapped[list[str] | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    previous_hash: Mapped[bytes | None]
    previous_until: Mapped[datetime | None]
    last_used_address: Mapped[str] = mapped_column(default="")
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
