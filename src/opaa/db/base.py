"""The declarative base of every table, and the ids."""

import secrets
import threading
import time
import uuid
from datetime import UTC, datetime

from sqlalchemy import DateTime, MetaData, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import Text


class _Clock:
    """Last time stamp and counter used, so that ids of one process always ascend."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last = 0


_clock = _Clock()


def uuid7() -> uuid.UUID:
    """A time-ordered UUID, version 7 (RFC 9562 section 5.7, method 3: sub-millisecond time; 62 random bits)."""
    with _clock.lock:
        ticks = time.time_ns() * 4096 // 1_000_000  # 1/4096 of a millisecond
        _clock.last = ticks = max(ticks, _clock.last + 1)
    milliseconds, fraction = divmod(ticks, 4096)
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "ix": "%(table_name)s_%(column_0_name)s_idx",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it off the class
        uuid.UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
        list[str]: ARRAY(Text()),
        dict: JSONB(),
        bytes: BYTEA(),
    }
