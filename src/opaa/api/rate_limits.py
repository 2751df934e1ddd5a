"""How many requests a person, a token and an address may make; counted in Redis, or in this process without it.

Answers carry `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). Losing Redis loosens the
limits to those of each process and never refuses anybody; locks after wrong passwords are in the database.
"""

import math
import time
from typing import Any, Literal

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from opaa.errors import OpaaError
from opaa.settings import Settings

log = structlog.get_logger(__name__)

Kind = Literal["user", "token", "address", "login"]
REDIS_AGAIN_AFTER_S = 10.0
REDIS_TIMEOUT_S = 0.25


class RateLimitedError(OpaaError):
    """Too many requests; `retry_after_s` says when there may be more."""

    code = "rate-limited"
    status = 429

    def __init__(self, kind: Kind, item: RateLimitItem, retry_after_s: int) -> None:
        whose = {"user": "for one person", "token": "with one token"}.get(kind, "from one address")
        super().__init__(f"More than {item} requests {whose}; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


class RateLimits:
    """The limits of an installation. One per process."""

    def __init__(self, settings: Settings) -> None:
        configured: dict[Kind, str] = {
            "user": settings.rate_limit_user,
            "token": settings.rate_limit_token,
            "address": settings.rate_limit_address,
            "login": settings.rate_limit_login,
        }
        self._items = {kind: parse(text) for kind, text in configured.items() if text != "off"}
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._shared_again_at = 0.0
        if settings.redis_url is not None:
            storage = RedisStorage(
                f"async+{settings.redis_url.get_secret_value()}",
                implementation="redispy",
                key_prefix="opaa:limits",
                socket_timeout=REDIS_TIMEOUT_S,
                socket_connect_timeout=REDIS_TIMEOUT_S,
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def count(self, kind: Kind, who: str) -> dict[str, str]:
        """Count a request; returns the headers that say what is left. Raises RateLimitedError."""
        item = self._items.get(kind)
        if item is None:
            return {}
        allowed, reset, remaining = await self._hit(item, kind, who)
        seconds = max(1, math.ceil(reset - time.time()))
        if not allowed:
            raise RateLimitedError(kind, item, seconds)
        return {
            "RateLimit-Policy": f'"{kind}";q={item.amount};w={item.get_expiry()}',
            "RateLimit": f'"{kind}";r={max(0, remaining)};t={seconds}',
        }

    async def _hit(self, item: RateLimitItem, *who: str) -> tuple[bool, float, int]:
        if self._shared is not None and time.monotonic() >= self._shared_again_at:
            try:
                return await _hit(self._shared, item, who)
            except Exception as error:
                self._shared_again_at = time.monotonic() + REDIS_AGAIN_AFTER_S
                log.warning("rate limits are counted by each process: redis is away", problem=type(error).__name__)
        return await _hit(self._local, item, who)


async def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, who: Any) -> tuple[bool, float, int]:  # noqa: ANN401
    allowed = await limiter.hit(item, *who)
    stats = await limiter.get_window_stats(item, *who)
    return allowed, stats.reset_time, stats.remaining
