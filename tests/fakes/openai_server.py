"""A model provider that speaks the OpenAI protocol, as a real HTTP server on a free port of the loopback interface.

Follows https://platform.openai.com/docs/api-reference/chat/create, …/chat-streaming, …/embeddings/create and
…/models/list, and https://platform.openai.com/docs/guides/error-codes.

    with FakeOpenAI() as server:
        server.chat_replies.append(Chat(text="Six months [1]."))   # for the next call; later ones get server.chat
        OpenAIChatModel(base_url=server.base_url, model="fake-model", api_key=server.api_key)
"""

import asyncio
import hashlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Messages = list[dict[str, Any]]
Writer = Callable[[Messages], str]


def cite_passages(messages: Messages) -> str:
    """The beginning of each passage in the last user message, with its marker: what an obedient model writes.

    A passage is a block of text that starts with its marker `[n]` at the beginning of a line.
    """
    prompt = str(messages[-1]["content"])
    blocks = re.findall(r"^\[(\d+)\][ \t]*(.*(?:\n(?!\[\d+\]|\s*$).+)*)", prompt, flags=re.MULTILINE)
    return " ".join(f"{_first_words(text)} [{marker}]." for marker, text in blocks) or "There is nothing about it."


def bogus_markers(_messages: Messages) -> str:
    """An answer whose markers name no passage."""
    return "It is six months [97], or perhaps seven [0][abc], as [-1] says [ 98 ]."


def _first_words(text: str) -> str:
    return " ".join(text.split()[:12]).rstrip(".")


@dataclass
class Failure:
    """An HTTP error in OpenAI's format."""

    status: int
    code: str | None = None
    type: str = "server_error"
    message: str = "The server had an error while processing your request"
    retry_after_s: float | None = None

    def response(self) -> Response:
        headers = {} if self.retry_after_s is None else {"retry-after": f"{self.retry_after_s:g}"}
        error = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        return JSONResponse({"error": error}, status_code=self.status, headers=headers)


@dataclass
class Raw:
    """Any body at all, with status 200."""

    body: str
    media_type: str = "application/json"

    def response(self) -> Response:
        return Response(self.body, media_type=self.media_type)


@dataclass
class Chat:
    """A chat completion. `text` is sent word by word when the request asks for a stream."""

    text: str | Writer = "Six months [1]."
    delay_to_first_token_s: float = 0.0
    delay_between_tokens_s: float = 0.0
    stall_after: int | None = None
    """After so many pieces nothing more comes, though the connection stays open."""
    cut_after: int | None = None
    """After so many pieces the connection breaks."""
    end_after: int | None = None
    """After so many pieces the stream ends properly, but without a finish reason and `[DONE]`."""
    garbage_after: int | None = None
    """After so many pieces comes a line that is not JSON."""
    finish_reason: str = "stop"
    thinking: str = ""
    input_tokens: int = 120
    output_tokens: int = 12

    def written(self, messages: Messages) -> str:
        return self.text(messages) if callable(self.text) else self.text


@dataclass
class Embeddings:
    """Vectors that depend on the text alone and are not of unit length. `change` may spoil the answer's `data`."""

    dimension: int = 16
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda data: data
    stall: bool = False


@dataclass
class Recorded:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class FakeOpenAI:
    """`chat` and `embeddings` answer every call for which nothing is queued in `chat_replies`/`embedding_replies`."""

    chat: Chat | Failure | Raw = field(default_factory=lambda: Chat(text=cite_passages))
    embeddings: Embeddings | Failure | Raw = field(default_factory=Embeddings)
    models: tuple[str, ...] = ("fake-model", "fake-embedder")
    api_key: str = "sk-fake-0123456789"
    chat_replies: deque[Chat | Failure | Raw] = field(default_factory=deque)
    embedding_replies: deque[Embeddings | Failure | Raw] = field(default_factory=deque)
    requests: list[Recorded] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed a stalled stream."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()  # connections wait in the socket's backlog until the server is up
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    async def _receive(self, request: Request) -> tuple[dict[str, Any], Response | None]:
        body = await request.json()
        self.requests.append(Recorded(request.url.path, dict(request.headers), body))
        if request.headers.get("authorization") == f"Bearer {self.api_key}":
            return body, None
        message = f"Incorrect API key provided: {request.headers.get('authorization')}."
        return body, Failure(401, "invalid_api_key", "invalid_request_error", message).response()

    async def _models(self, _request: Request) -> Response:
        data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"} for name in self.models]
        return JSONResponse({"object": "list", "data": data})

    async def _chat(self, request: Request) -> Response:
        body, refused = await self._receive(request)
        if refused:
            return refused
        if body["model"] not in self.models:
            message = f"The model `{body['model']}` does not exist"
            return Failure(404, "model_not_found", "invalid_request_error", message).response()
        reply = self.chat_replies.popleft() if self.chat_replies else self.chat
        if not isinstance(reply, Chat):
            return reply.response()
        if body.get("stream"):
            return StreamingResponse(self._chunks(reply, body, request), media_type="text/event-stream")
        await asyncio.sleep(reply.delay_to_first_token_s)
        message = {"role": "assistant", "content": reply.written(body["messages"]), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        completion = {**_completion(body, "chat.completion"), "choices": [choice], "usage": _usage(reply)}
        return JSONResponse(completion)

    async def _chunks(self, reply: Chat, body: dict[str, Any], request: Request) -> AsyncIterator[str]:
        frame = _completion(body, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return f"data: {json.dumps({**frame, 'choices': [choice]})}\n\n"

        yield chunk({"role": "assistant", "content": "", "refusal": None})
        await asyncio.sleep(reply.delay_to_first_token_s)
        if reply.thinking:
            yield chunk({"reasoning_content": reply.thinking})
        for number, piece in enumerate([*re.findall(r"\s*\S+", reply.written(body["messages"])), None]):
            if number == reply.stall_after:
                await self._wait_for_disconnect(request)
                return
            if number == reply.cut_after:
                raise ConnectionAbortedError
            if number == reply.end_after:
                return
            if number == reply.garbage_after:
                yield "data: {this is not JSON\n\n"
            if piece is not None:
                await asyncio.sleep(reply.delay_between_tokens_s)
                yield chunk({"content": piece})
        yield chunk({}, reply.finish_reason)
        if body.get("stream_options", {}).get("include_usage"):
            yield f"data: {json.dumps({**frame, 'choices': [], 'usage': _usage(reply)})}\n\n"
        yield "data: [DONE]\n\n"

    async def _embeddings(self, request: Request) -> Response:
        body, refused = await self._receive(request)
        if refused:
            return refused
        reply = self.embedding_replies.popleft() if self.embedding_replies else self.embeddings
        if not isinstance(reply, Embeddings):
            return reply.response()
        if reply.stall:
            await self._wait_for_disconnect(request)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [
            {"object": "embedding", "index": index, "embedding": embed(text, reply.dimension)}
            for index, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": reply.change(data), "model": body["model"], "usage": usage})

    async def _wait_for_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()


def embed(text: str, dimension: int) -> list[float]:
    """The vector that the fake gives for `text`."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return [float(value) for value in np.random.default_rng(seed).normal(scale=3.0, size=dimension)]


def _completion(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake",
        "object": kind,
        "created": 1_700_000_000,
        "model": body["model"],
        "system_fingerprint": "fp_fake",
    }


def _usage(reply: Chat) -> dict[str, Any]:
    total = reply.input_tokens + reply.output_tokens
    return {"prompt_tokens": reply.input_tokens, "completion_tokens": reply.output_tokens, "total_tokens": total}
