"""What an embedding model and a chat model do for the rest of OPAA."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns text into vectors whose dot product is their similarity.

    `name`, `dimension` and the prefixes are stored with an index generation: vectors of two embedders that differ in
    any of them must never be compared.
    """

    name: str
    dimension: int
    max_tokens: int
    """Longest input, in tokens with prefix and special tokens; what is beyond is cut off."""
    query_prefix: str
    passage_prefix: str

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage, prefix and special tokens included, not cut at `max_tokens`. CPU-bound:
        milliseconds for a long document. An endpoint's counts are estimates."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`(n, dimension)` of unit length, in the order of `texts`. Raises EmbedderUnavailableError."""
        ...

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        """`(dimension,)` of unit length. Does not wait for the whole of a running `embed_passages`.
        Raises EmbedderUnavailableError."""
        ...

    async def close(self) -> None:
        """Releases threads and connections; the embedder cannot be used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation with a model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call took. `cost` is in US dollars, 0 where the model's price is unknown or it has none. `truncated`:
    the text ends where it does only because it reached `max_tokens`."""

    input_tokens: int
    output_tokens: int
    cost: Decimal
    truncated: bool = False


class ChatModel(Protocol):
    """A language model that writes text."""

    name: str

    def stream(
        self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float, timeout_s: float
    ) -> AsyncGenerator[str | Usage, None]:
        """Yields pieces of text as they arrive, then exactly one `Usage`.

        Without the final `Usage` the text is not complete: the call then raised ModelUnavailableError, whose `reason`
        says why. `timeout_s` is the deadline of the whole call. Close the generator (`contextlib.aclosing`) to stop
        early; that ends the request at the endpoint.
        """
        ...

    async def close(self) -> None:
        """Releases connections."""
        ...
