"""A language model at any endpoint that speaks the OpenAI chat protocol, through pydantic-ai."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy
from opaa.errors import ModelUnavailableError
from opaa.llm.breaker import Breaker, CircuitOpenError
from opaa.llm.port import ChatMessage, Usage

if TYPE_CHECKING:  # pydantic-ai and the client under it take 70 MB: imported with the first question
    from pydantic_ai.exceptions import AgentRunError
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import StreamedResponse
    from pydantic_ai.models.openai import OpenAIChatModel as Backend
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

_LONGEST_CALL_S = 600.0  # where a call names no deadline of its own; each does
_RETRIES = 2  # by the client library: exponential with jitter, obeying Retry-After, and only before the first token


class Reason(StrEnum):
    """Why a model gave no answer, or only the beginning of one."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    UNAUTHORIZED = "unauthorized"
    MODEL_NOT_FOUND = "model-not-found"
    RATE_LIMITED = "rate-limited"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server-error"
    TOO_LONG = "too-long"
    REJECTED = "rejected"
    FILTERED = "filtered"
    INVALID_ANSWER = "invalid-answer"
    PAUSED = "paused"


_SENTENCES = {
    Reason.TIMEOUT: "did not finish in time",
    Reason.UNREACHABLE: "cannot be reached",
    Reason.INTERRUPTED: "broke off in the middle of its answer",
    Reason.UNAUTHORIZED: "refused the API key",
    Reason.MODEL_NOT_FOUND: "does not exist at this endpoint",
    Reason.RATE_LIMITED: "is asked too often",
    Reason.QUOTA: "has no quota or credit left",
    Reason.OVERLOADED: "is overloaded",
    Reason.SERVER_ERROR: "failed",
    Reason.TOO_LONG: "was given more text than it can take",
    Reason.REJECTED: "rejected the request",
    Reason.FILTERED: "withheld its answer",
    Reason.INVALID_ANSWER: "sent something that is not an answer",
    Reason.PAUSED: "failed repeatedly and is not asked for a moment",
}
# What a question itself may cause says nothing about the endpoint's health.
_CAUSED_BY_REQUEST = {Reason.TOO_LONG, Reason.REJECTED, Reason.FILTERED}


def _speaks_against_endpoint(error: BaseException) -> bool:
    return not (isinstance(error, ModelUnavailableError) and error.reason in _CAUSED_BY_REQUEST)


class OpenAIChatModel:
    """A `ChatModel` at `base_url` (it ends with `/v1` as a rule). `api_key` None is for endpoints that want none.

    Failures before the first token are retried; after `breaker_threshold` failed calls in a row the endpoint is left
    alone for `breaker_pause_s` seconds.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        breaker_threshold: int = 5,
        breaker_pause_s: float = 30.0,
        policy: EgressPolicy | None = None,
    ) -> None:
        self.name = model
        self._base_url = base_url
        self._policy = policy or EgressPolicy.of([base_url])
        self._api_key = api_key
        self._breaker = Breaker(
            f"chat {model}",
            is_failure=_speaks_against_endpoint,
            threshold=breaker_threshold,
            pause_s=breaker_pause_s,
        )
        self._connecting = asyncio.Lock()
        self._backend: Backend | None = None

    async def stream(
        self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float, timeout_s: float
    ) -> AsyncGenerator[str | Usage, None]:
        async with self._connecting:
            if self._backend is None:
                self._backend = await asyncio.to_thread(self._connect)
        from pydantic_ai.settings import ModelSettings  # noqa: PLC0415 - see above

        settings = ModelSettings(max_tokens=max_tokens, temperature=temperature, request_timeout=timeout_s)
        try:
            async with self._breaker.guard(), aclosing(self._attempt(self._backend, messages, settings)) as parts:
                async for part in parts:
                    yield part
        except CircuitOpenError:
            raise self._error(Reason.PAUSED) from None

    async def close(self) -> None:
        if self._backend is not None:
            await self._backend.client.close()

    async def _attempt(
        self, backend: "Backend", messages: Sequence[ChatMessage], settings: "ModelSettings"
    ) -> AsyncGenerator[str | Usage, None]:
        from pydantic_ai.direct import model_request_stream  # noqa: PLC0415 - see above
        from pydantic_ai.exceptions import AgentRunError  # noqa: PLC0415

        started = False
        request = model_request_stream(backend, _to_pydantic_ai(messages), model_settings=settings, instrument=False)
        try:
            async with request as response:
                async for event in response:
                    text = _text_in(event)
                    started = started or bool(text)
                    if text:
                        yield text
                if response.finish_reason == "content_filter":
                    raise self._error(Reason.FILTERED)
                if not started:
                    raise self._error(Reason.INVALID_ANSWER)
                yield self._usage(response)
        except AgentRunError as error:
            # Its message may hold what the endpoint said about the key, so it goes no further.
            raise self._error(_reason(error, started=started)) from None
        except (AttributeError, TypeError, LookupError, ValueError) as error:
            # What the client library stumbles over when the endpoint sends JSON of another shape.
            raise self._error(Reason.INTERRUPTED if started else Reason.INVALID_ANSWER) from error

    def _connect(self) -> "Backend":
        from openai import AsyncOpenAI  # noqa: PLC0415 - see above
        from pydantic_ai.models.openai import OpenAIChatModel as Backend  # noqa: PLC0415
        from pydantic_ai.profiles.openai import OpenAIModelProfile  # noqa: PLC0415
        from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

        http = egress.client(egress.transport(self._policy), timeout_s=_LONGEST_CALL_S)
        # Without a key the client would look for one in the environment, which is not meant for this endpoint.
        client = AsyncOpenAI(
            base_url=self._base_url, api_key=self._api_key or "none", max_retries=_RETRIES, http_client=http
        )
        # Otherwise an answer that is cut off between two tokens passes for a whole one.
        profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
        return Backend(self.name, provider=OpenAIProvider(openai_client=client), profile=profile)

    def _usage(self, response: "StreamedResponse") -> Usage:
        usage = response.usage
        return Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost=cost_of(usage, self.name, self._base_url),
            truncated=response.finish_reason == "length",
        )

    def _error(self, reason: Reason) -> ModelUnavailableError:
        host = urlsplit(self._base_url).hostname or "its endpoint"
        return ModelUnavailableError(f"The model {self.name} at {host} {_SENTENCES[reason]}.", reason=reason)


def _to_pydantic_ai(messages: Sequence[ChatMessage]) -> "list[ModelMessage]":
    from pydantic_ai import messages as theirs  # noqa: PLC0415 - see above

    converted: list[ModelMessage] = []
    for message in messages:
        if message.role == "assistant":
            converted.append(theirs.ModelResponse(parts=[theirs.TextPart(message.content)]))
        elif message.role == "system":
            converted.append(theirs.ModelRequest(parts=[theirs.SystemPromptPart(message.content)]))
        else:
            converted.append(theirs.ModelRequest(parts=[theirs.UserPromptPart(message.content)]))
    return converted


def _text_in(event: object) -> str:
    """What an event adds to the answer; a model's thinking is no part of it."""
    from pydantic_ai import messages as theirs  # noqa: PLC0415 - see above

    if isinstance(event, theirs.PartStartEvent) and isinstance(event.part, theirs.TextPart):
        return event.part.content
    if isinstance(event, theirs.PartDeltaEvent) and isinstance(event.delta, theirs.TextPartDelta):
        return event.delta.content_delta
    return ""


def _reason(error: "AgentRunError", *, started: bool) -> Reason:
    from pydantic_ai import exceptions as theirs  # noqa: PLC0415 - see above

    reasons: list[tuple[type[AgentRunError], Reason]] = [
        (theirs.ModelRequestTimeout, Reason.TIMEOUT),
        (theirs.ModelTimeoutError, Reason.TIMEOUT),
        (theirs.ModelConnectionError, Reason.INTERRUPTED if started else Reason.UNREACHABLE),
        (theirs.ModelAuthenticationError, Reason.UNAUTHORIZED),
        (theirs.ModelNotFoundError, Reason.MODEL_NOT_FOUND),
        (theirs.ModelContextWindowExceededError, Reason.TOO_LONG),
        (theirs.ModelRequestRejectedError, Reason.REJECTED),
        (theirs.ModelRateLimitError, Reason.RATE_LIMITED),
        (theirs.ModelQuotaExceededError, Reason.QUOTA),
        (theirs.ModelUnavailableError, Reason.OVERLOADED),
        (theirs.ModelServerError, Reason.SERVER_ERROR),
        (theirs.ContentFilterError, Reason.FILTERED),
    ]
    for kind, reason in reasons:
        if isinstance(error, kind):
            return reason
    return Reason.INTERRUPTED if started else Reason.INVALID_ANSWER


def cost_of(usage: "RequestUsage", model: str, base_url: str) -> Decimal:
    """By the price list of the provider that `base_url` belongs to. A model's name alone does not decide: the same
    model costs nothing on a machine of one's own."""
    from genai_prices import calc_price  # noqa: PLC0415 - see above

    try:
        return calc_price(usage, model, provider_api_url=base_url).total_price
    except LookupError:
        return Decimal(0)
