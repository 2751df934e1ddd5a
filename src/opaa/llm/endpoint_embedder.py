"""Embeddings from any endpoint that speaks the OpenAI protocol.

Plain HTTP: the one call and its answer are smaller than a client library, which would take 70 MB of every process.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np
import stamina
from numpy.typing import NDArray

from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy, EgressRefusedError
from opaa.errors import EmbedderUnavailableError
from opaa.llm.breaker import Breaker, CircuitOpenError

_ATTEMPTS = 4
_PROBE_TIMEOUT_S = 10.0
_MOST_RETRY_AFTER_S = 20.0
_BYTES_PER_TOKEN = 3  # of UTF-8; English has 4 to 5, German 4, dense code and numbers 2 to 3


class _RetryableError(EmbedderUnavailableError):
    """A failure that may pass; `after_s` is what the endpoint asked to wait."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


def _worth_retrying(error: Exception) -> bool | float:
    """For stamina: whether to try again or, where the endpoint said so, after how many seconds."""
    if isinstance(error, _RetryableError):
        return True if error.after_s is None else error.after_s
    return False


class EndpointEmbedder:
    """An `Embedder` at `base_url` (it ends with `/v1` as a rule). `api_key` None is for endpoints that want none.

    `timeout_s` is the deadline of one call to the endpoint with up to `batch_size` passages, retries included;
    `query_timeout_s` that of a query, for which somebody waits. Texts are cut at about `max_tokens`. After
    `breaker_threshold` failed calls in a row the endpoint is left alone for `breaker_pause_s` seconds.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        dimension: int | None = None,
        max_tokens: int = 8192,
        query_prefix: str = "",
        passage_prefix: str = "",
        batch_size: int = 32,
        timeout_s: float = 60.0,
        query_timeout_s: float = 5.0,
        breaker_threshold: int = 5,
        breaker_pause_s: float = 30.0,
        policy: EgressPolicy | None = None,
    ) -> None:
        """Without `dimension` asks the endpoint once for a vector and blocks for that (10 s at most): not for an event
        loop. Raises EmbedderUnavailableError if that fails."""
        self.name = model
        self.max_tokens = max_tokens
        self.query_prefix = query_prefix
        self.passage_prefix = passage_prefix
        self._url = base_url.rstrip("/") + "/embeddings"
        self._who = f"The embedding model {model} at {urlsplit(base_url).hostname or base_url}"
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self._query_timeout_s = query_timeout_s
        self._policy = policy or EgressPolicy.of([base_url])
        self._breaker = Breaker(
            f"embeddings {model}",
            is_failure=lambda error: isinstance(error, EmbedderUnavailableError),
            threshold=breaker_threshold,
            pause_s=breaker_pause_s,
        )
        self.dimension = dimension or self._ask_dimension()
        self._client = self._open(timeout_s)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate: a token for every three bytes."""
        return [math.ceil(len((self.passage_prefix + text).encode()) / _BYTES_PER_TOKEN) + 2 for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), self._batch_size):
            batch = [self.passage_prefix + text for text in texts[start : start + self._batch_size]]
            vectors[start : start + len(batch)] = await self._embed(batch, self._timeout_s)
        return vectors

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        vectors = await self._embed([self.query_prefix + text], self._query_timeout_s)
        return np.asarray(vectors[0])

    async def close(self) -> None:
        await self._client.aclose()

    async def _embed(self, texts: list[str], timeout_s: float) -> NDArray[np.float32]:
        try:
            async with self._breaker.guard():
                return await self._embed_with_retries(texts, timeout_s)
        except CircuitOpenError:
            raise EmbedderUnavailableError(f"{self._who} failed repeatedly and is not asked for a moment.") from None

    async def _embed_with_retries(self, texts: list[str], timeout_s: float) -> NDArray[np.float32]:
        failure = EmbedderUnavailableError(f"{self._who} did not answer within {timeout_s:g} s.")
        try:
            async with asyncio.timeout(timeout_s):
                async for attempt in stamina.retry_context(on=_worth_retrying, attempts=_ATTEMPTS, timeout=timeout_s):
                    with attempt:
                        try:
                            return await self._attempt(texts)
                        except _RetryableError as error:
                            failure = error
                            raise
        except TimeoutError:
            raise failure from None
        raise AssertionError("a retry context returns or raises")

    async def _attempt(self, texts: list[str]) -> NDArray[np.float32]:
        try:
            response = await self._client.post(self._url, json=self._payload(texts))
        except EgressRefusedError as error:
            raise EmbedderUnavailableError(error.message) from error
        except httpx2.TransportError as error:
            raise _RetryableError(f"{self._who} cannot be reached ({type(error).__name__}).") from error
        return self._vectors(response, len(texts))

    def _payload(self, texts: list[str]) -> dict[str, Any]:
        most_chars = self.max_tokens * _BYTES_PER_TOKEN
        # An empty text is refused by OpenAI, a space is not.
        inputs = [text[:most_chars] or " " for text in texts]
        return {"model": self.name, "input": inputs, "encoding_format": "float"}

    def _open(self, timeout_s: float) -> httpx2.AsyncClient:
        return egress.client(egress.transport(self._policy), timeout_s=timeout_s, headers=self._headers)

    def _ask_dimension(self) -> int:
        async def ask() -> httpx2.Response:
            async with self._open(_PROBE_TIMEOUT_S) as client:
                return await client.post(self._url, json=self._payload(["dimension"]))

        try:
            response = asyncio.run(ask())
        except EgressRefusedError as error:
            raise EmbedderUnavailableError(error.message) from error
        except httpx2.TransportError as error:
            raise EmbedderUnavailableError(
                f"{self._who} cannot be reached ({type(error).__name__}) to ask for the length of its vectors. "
                "Set LLM_EMBEDDING_DIMENSION to start without it."
            ) from error
        return len(self._parsed(response)[0])

    def _vectors(self, response: httpx2.Response, count: int) -> NDArray[np.float32]:
        rows = self._parsed(response)
        if len(rows) != count:
            raise EmbedderUnavailableError(f"{self._who} sent {len(rows)} vectors for {count} texts.")
        lengths = {len(row) for row in rows}
        if lengths != {self.dimension}:
            found = ", ".join(map(str, sorted(lengths)))
            raise EmbedderUnavailableError(
                f"{self._who} sent vectors of {found} numbers, but {self.dimension} are expected: use the model that "
                "the index was made with, or correct LLM_EMBEDDING_DIMENSION and index again."
            )
        vectors = np.array(rows, np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise EmbedderUnavailableError(f"{self._who} sent a vector without direction (zero, infinite or NaN).")
        return np.asarray(vectors / norms, np.float32)

    def _parsed(self, response: httpx2.Response) -> list[list[float]]:
        """The vectors in the order of the inputs. The endpoint's own words, which may hold a key, are not repeated."""
        if response.status_code != httpx2.codes.OK:
            message = f"{self._who} answered with HTTP {response.status_code} ({response.reason_phrase})."
            if response.status_code in {408, 409, 429} or response.status_code >= 500:
                raise _RetryableError(message, _retry_after_s(response))
            raise EmbedderUnavailableError(message)
        try:
            items = sorted(response.json()["data"], key=lambda item: item["index"])
            return [[float(value) for value in item["embedding"]] for item in items]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise EmbedderUnavailableError(f"{self._who} sent something that is not a list of vectors.") from error


def _retry_after_s(response: httpx2.Response) -> float | None:
    """RFC 9110, 10.2.3, in its form of seconds; bounded, since the deadline is short."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, _MOST_RETRY_AFTER_S) if seconds >= 0 else None
