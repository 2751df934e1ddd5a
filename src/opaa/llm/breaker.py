"""Circuit breakers around endpoints: after several failures in a row, calls fail at once for a while."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState


class CircuitOpenError(Exception):
    """The endpoint failed too often; it is not asked until the pause is over."""


class Breaker:
    """Opens after `threshold` failures in a row, for `pause_s` seconds; the first call after that decides anew.

    `is_failure` says whether an exception speaks against the endpoint. A caller who gives up never does.
    """

    def __init__(
        self, name: str, *, is_failure: Callable[[BaseException], bool], threshold: int = 5, pause_s: float = 30.0
    ) -> None:
        def is_no_failure(error: BaseException) -> bool:
            return isinstance(error, GeneratorExit | asyncio.CancelledError) or not is_failure(error)

        self._name = name
        self._factory = AsyncCircuitBreakerFactory(threshold, pause_s, exclude=[(BaseException, is_no_failure)])

    @asynccontextmanager
    async def guard(self) -> AsyncGenerator[None, None]:
        """Counts how the block ends. Raises CircuitOpenError instead of entering it while open."""
        circuit = await self._factory.get_breaker(self._name)
        try:
            await circuit.__aenter__()
        except OpenedState as opened:
            # One exception object serves all calls; without this its traceback would grow with each.
            opened.__traceback__ = None
            raise CircuitOpenError from None
        try:
            yield
        except BaseException as error:
            await circuit.__aexit__(type(error), error, error.__traceback__)
            raise
        await circuit.__aexit__(None, None, None)
