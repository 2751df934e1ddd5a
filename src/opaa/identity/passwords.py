"""Passwords: how they are checked, hashed and compared."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from opaa.errors import InvalidInputError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
# 19 MiB, 2 passes, 1 lane: OWASP's first choice for argon2id.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
DUMMY_HASH = HASHER.hash("compared when there is no such user, so that both take the same time")


def check_password(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInputError(f"A password is {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")


async def hash_password(password: str) -> str:
    return await asyncio.to_thread(HASHER.hash, password)


async def verify_password(stored: str, password: str) -> bool:
    try:
        return await asyncio.to_thread(HASHER.verify, stored, password)
    except VerificationError:
        return False
