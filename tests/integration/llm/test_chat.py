"""The chat model against a real HTTP server that fails in every way that providers do."""

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest

from opaa.errors import ModelUnavailableError
from opaa.llm.chat import OpenAIChatModel, Reason
from opaa.llm.port import ChatMessage, Usage
from tests.fakes.openai_server import Chat, Failure, FakeOpenAI, Raw, bogus_markers, cite_passages

QUESTION = [ChatMessage("system", "Answer from the passages."), ChatMessage("user", "How long is the probation?")]


@pytest.fixture
def server():
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
async def model(server):
    model = OpenAIChatModel(base_url=server.base_url, model="fake-model", api_key=server.api_key)
    yield model
    await model.close()


async def ask(model, messages=QUESTION, timeout_s=20.0):
    """The pieces of text and the usage."""
    pieces, usage = [], None
    async with aclosing(model.stream(messages, max_tokens=100, temperature=0.1, timeout_s=timeout_s)) as stream:
        async for part in stream:
            assert usage is None, "usage is the last part"
            if isinstance(part, Usage):
                usage = part
            else:
                pieces.append(part)
    return pieces, usage


async def fails(model, **options):
    with pytest.raises(ModelUnavailableError) as failure:
        await ask(model, **options)
    return failure.value


async def test_streams_the_answer_in_pieces_and_then_its_usage(server, model):
    server.chat = Chat(text="The probation lasts six months [1].", input_tokens=41, output_tokens=9)
    pieces, usage = await ask(model)
    assert "".join(pieces) == "The probation lasts six months [1]."
    assert len(pieces) > 3
    assert usage == Usage(input_tokens=41, output_tokens=9, cost=Decimal(0))


async def test_sends_the_conversation_and_the_limits(server, model):
    turns = [*QUESTION, ChatMessage("assistant", "Six months."), ChatMessage("user", "And for managers?")]
    await ask(model, turns)
    body = server.requests[0].body
    assert [(m["role"], m["content"]) for m in body["messages"]] == [(m.role, m.content) for m in turns]
    assert (body["model"], body["temperature"]) == ("fake-model", 0.1)
    assert 100 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_first_pieces_arrive_before_the_answer_is_finished(server, model):
    server.chat = Chat(text="one two three four", stall_after=2)
    async with aclosing(model.stream(QUESTION, max_tokens=9, temperature=0, timeout_s=20)) as stream:
        assert [await anext(stream), await anext(stream)] == ["one", " two"]


async def test_closing_the_stream_ends_the_request_at_the_endpoint(server, model):
    server.chat = Chat(text="one two three", stall_after=1)
    async with aclosing(model.stream(QUESTION, max_tokens=9, temperature=0, timeout_s=20)) as stream:
        assert await anext(stream) == "one"
    assert await asyncio.to_thread(server.disconnected.wait, 10)


async def test_a_models_thinking_is_not_part_of_the_answer(server, model):
    server.chat = Chat(text="Six months.", thinking="The user wants to know the probation.")
    assert "".join((await ask(model))[0]) == "Six months."


async def test_an_answer_cut_at_max_tokens_says_so(server, model):
    server.chat = Chat(text="Six", finish_reason="length")
    assert (await ask(model))[1].truncated


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Failure(500, retry_after_s=0.01), Reason.SERVER_ERROR),
        (Failure(503, retry_after_s=0.01), Reason.OVERLOADED),
        (Failure(429, "rate_limit_exceeded", retry_after_s=0.01), Reason.RATE_LIMITED),
        (Failure(429, "insufficient_quota", retry_after_s=0.01), Reason.QUOTA),
        (Failure(400, "context_length_exceeded", "invalid_request_error"), Reason.TOO_LONG),
        (Failure(400, None, "invalid_request_error"), Reason.REJECTED),
        (Failure(403), Reason.UNAUTHORIZED),
        (Chat(text="one two three", cut_after=0), Reason.UNREACHABLE),
        (Chat(text="one two three", cut_after=2), Reason.INTERRUPTED),
        (Chat(text="one two three", end_after=2), Reason.INTERRUPTED),
        (Chat(text="one two three", garbage_after=0), Reason.INVALID_ANSWER),
        (Chat(text="one two three", garbage_after=2), Reason.INTERRUPTED),
        (Chat(text="one", finish_reason="content_filter"), Reason.FILTERED),
        (Chat(text=""), Reason.INVALID_ANSWER),
        (Raw("<html>Bad gateway</html>", "text/html"), Reason.INVALID_ANSWER),
        (Raw("data: [1, 2]\n\n", "text/event-stream"), Reason.INVALID_ANSWER),
        (Raw(""), Reason.INVALID_ANSWER),
    ],
    ids=str,
)
async def test_each_failure_has_a_reason(server, model, reply, reason):
    server.chat = reply
    error = await fails(model)
    assert error.reason == reason
    assert "fake-model" in error.message


async def test_a_stalled_model_is_left_at_the_deadline(server, model):
    server.chat = Chat(text="one two three", stall_after=1)
    assert (await fails(model, timeout_s=0.4)).reason == Reason.TIMEOUT


async def test_a_model_that_does_not_begin_is_left_at_the_deadline(server, model):
    server.chat = Chat(delay_to_first_token_s=60)
    assert (await fails(model, timeout_s=0.4)).reason == Reason.TIMEOUT


@pytest.mark.req("LLM-2")
async def test_a_short_outage_is_bridged(server, model):
    server.chat_replies.extend(
        [Failure(429, "rate_limit_exceeded", retry_after_s=0.01), Failure(503, retry_after_s=0.01)]
    )
    server.chat = Chat(text="Six months.")
    assert "".join((await ask(model))[0]) == "Six months."
    assert len(server.requests) == 3


async def test_an_unknown_model_is_named(server):
    error = await fails(OpenAIChatModel(base_url=server.base_url, model="no-such-model", api_key=server.api_key))
    assert error.reason == Reason.MODEL_NOT_FOUND
    assert "no-such-model" in error.message


async def test_nobody_listening(unused_address):
    error = await fails(OpenAIChatModel(base_url=unused_address, model="fake-model"))
    assert error.reason == Reason.UNREACHABLE


@pytest.mark.req("CFG-3")
async def test_a_wrong_key_is_not_repeated_in_the_error(server):
    error = await fails(OpenAIChatModel(base_url=server.base_url, model="fake-model", api_key="sk-wrong-secret"))
    assert error.reason == Reason.UNAUTHORIZED
    shown = "".join(f"{e!r} {e}" for e in (error, error.__cause__) if e is not None)
    assert "sk-wrong-secret" not in shown
    assert error.__suppress_context__


async def test_without_a_key_none_is_taken_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    await fails(OpenAIChatModel(base_url=server.base_url, model="fake-model"))
    assert "sk-of-somebody-else" not in str(server.requests[0].headers)


@pytest.mark.req("LLM-2")
async def test_a_dead_endpoint_is_not_asked_again_for_a_while(server):
    model = OpenAIChatModel(
        base_url=server.base_url, model="fake-model", api_key=server.api_key, breaker_threshold=2, breaker_pause_s=60
    )
    server.chat = Failure(500, retry_after_s=0.01)
    for _ in range(2):
        assert (await fails(model)).reason == Reason.SERVER_ERROR
    asked = len(server.requests)
    assert (await fails(model)).reason == Reason.PAUSED
    assert len(server.requests) == asked


async def test_the_endpoint_is_asked_again_after_the_pause(server):
    model = OpenAIChatModel(
        base_url=server.base_url, model="fake-model", api_key=server.api_key, breaker_threshold=1, breaker_pause_s=0
    )
    server.chat = Raw("nonsense")
    assert (await fails(model)).reason == Reason.INVALID_ANSWER
    server.chat = Chat(text="Six months.")
    assert "".join((await ask(model))[0]) == "Six months."


async def test_a_question_that_is_too_long_does_not_pause_the_model_for_others(server):
    model = OpenAIChatModel(
        base_url=server.base_url, model="fake-model", api_key=server.api_key, breaker_threshold=1, breaker_pause_s=60
    )
    server.chat = Failure(400, "context_length_exceeded", "invalid_request_error")
    for _ in range(3):
        assert (await fails(model)).reason == Reason.TOO_LONG


async def test_the_scripted_writers(server, model):
    server.chat = Chat(text=cite_passages)
    prompt = "Passages:\n\n[1] Probation lasts six months.\nIt may be shorter.\n\n[2] Leave is 30 days.\n\nHow long?"
    answer = "".join((await ask(model, [ChatMessage("user", prompt)]))[0])
    assert answer == "Probation lasts six months. It may be shorter [1]. Leave is 30 days [2]."
    server.chat = Chat(text=bogus_markers)
    assert "[97]" in "".join((await ask(model))[0])
