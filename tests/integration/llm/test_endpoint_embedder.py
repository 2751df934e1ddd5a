"""Embeddings from a real HTTP server that fails in every way that providers do."""

import asyncio

import numpy as np
import pytest

from opaa.errors import EmbedderUnavailableError
from opaa.llm.endpoint_embedder import EndpointEmbedder
from tests.fakes.openai_server import Embeddings, Failure, FakeOpenAI, Raw, embed

DIMENSION = 16


@pytest.fixture
def server():
    with FakeOpenAI() as running:
        yield running


@pytest.fixture
async def create(server):
    """Makes embedders for the server with options changed."""
    created = []

    def make(**options):
        defaults = {"base_url": server.base_url, "model": "fake-embedder", "api_key": server.api_key}
        created.append(EndpointEmbedder(**{**defaults, "dimension": DIMENSION, **options}))
        return created[-1]

    yield make
    for embedder in created:
        await embedder.close()


def unit(text):
    vector = np.array(embed(text, DIMENSION))
    return vector / np.linalg.norm(vector)


async def fails(call):
    with pytest.raises(EmbedderUnavailableError) as failure:
        await call
    return failure.value.message


async def test_vectors_have_unit_length_and_the_order_of_the_texts(server, create):
    texts = [f"text {number}" for number in range(70)]
    server.embeddings = Embeddings(change=lambda data: data[::-1])  # `index` says which is which
    vectors = await create(batch_size=32).embed_passages(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [unit(text) for text in texts], atol=1e-6)
    assert [len(request.body["input"]) for request in server.requests] == [32, 32, 6]


async def test_nothing_to_embed_asks_nothing(server, create):
    assert (await create().embed_passages([])).shape == (0, DIMENSION)
    assert not server.requests


async def test_prefixes_tell_questions_from_passages(create):
    embedder = create(query_prefix="query: ", passage_prefix="passage: ")
    np.testing.assert_allclose(await embedder.embed_query("Urlaub"), unit("query: Urlaub"), atol=1e-6)
    np.testing.assert_allclose((await embedder.embed_passages(["Urlaub"]))[0], unit("passage: Urlaub"), atol=1e-6)


async def test_the_dimension_is_asked_for_when_it_is_not_known(server, create):
    server.embeddings = Embeddings(dimension=24)
    embedder = await asyncio.to_thread(create, dimension=None)
    assert embedder.dimension == 24


async def test_a_dimension_that_cannot_be_asked_for(unused_address):
    with pytest.raises(EmbedderUnavailableError, match="LLM_EMBEDDING_DIMENSION"):
        await asyncio.to_thread(EndpointEmbedder, base_url=unused_address, model="fake-embedder")


async def test_a_text_beyond_the_model_is_cut_and_an_empty_one_is_sent_as_a_space(server, create):
    await create(max_tokens=10).embed_passages(["x" * 1000, ""])
    sent = server.requests[0].body["input"]
    assert len(sent[0]) < 100
    assert sent[1] == " "


async def test_vectors_of_another_length_are_an_error_that_says_what_to_do(server, create):
    server.embeddings = Embeddings(dimension=24)
    message = await fails(create().embed_query("Urlaub"))
    assert "24" in message
    assert "16" in message
    assert "index again" in message


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Failure(401, "invalid_api_key"), "HTTP 401"),
        (Failure(400), "HTTP 400"),
        (Failure(404), "HTTP 404"),
        (Raw("<html>Bad gateway</html>", "text/html"), "not a list of vectors"),
        (Raw(""), "not a list of vectors"),
        (Raw("[]"), "not a list of vectors"),
        (Raw('{"data": [{"index": 0}]}'), "not a list of vectors"),
        (Raw('{"data": [{"index": 0, "embedding": ["a"]}]}'), "not a list of vectors"),
        (Raw('{"data": null}'), "not a list of vectors"),
        (Embeddings(change=lambda data: data[:-1]), "0 vectors for 1 texts"),
        (Embeddings(change=lambda data: [{**item, "embedding": [0.0] * DIMENSION} for item in data]), "direction"),
        (Raw('{"data": [{"index": 0, "embedding": [' + ", ".join(["1e999"] * DIMENSION) + "]}]}"), "direction"),
    ],
)
async def test_what_cannot_be_used_is_refused_at_once(server, create, reply, message):
    server.embeddings = reply
    assert message in await fails(create().embed_query("Urlaub"))
    assert len(server.requests) == 1


@pytest.mark.req("LLM-2")
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_short_outage_is_bridged(server, create, status):
    server.embedding_replies.extend([Failure(status, retry_after_s=0.01)] * 2)
    np.testing.assert_allclose(await create().embed_query("Urlaub"), unit("Urlaub"), atol=1e-6)
    assert len(server.requests) == 3


async def test_a_long_outage_is_an_error(server, create):
    server.embeddings = Failure(503, retry_after_s=0.01)
    assert "HTTP 503" in await fails(create().embed_query("Urlaub"))
    assert len(server.requests) == 4


async def test_a_wait_that_the_endpoint_asks_for_ends_at_the_deadline(server, create):
    server.embeddings = Failure(429, retry_after_s=3600)
    assert "HTTP 429" in await fails(create(query_timeout_s=0.3).embed_query("Urlaub"))
    assert len(server.requests) == 1


async def test_an_endpoint_that_stalls_is_left_at_the_deadline(server, create):
    server.embeddings = Embeddings(stall=True)
    assert "0.3 s" in await fails(create(query_timeout_s=0.3).embed_query("Urlaub"))


async def test_nobody_listening(create, unused_address):
    assert "cannot be reached" in await fails(
        create(base_url=unused_address, query_timeout_s=0.5).embed_query("Urlaub")
    )


@pytest.mark.req("CFG-3")
async def test_the_key_is_sent_and_not_repeated_in_errors(server, create):
    await create().embed_query("Urlaub")
    assert server.requests[0].headers["authorization"] == f"Bearer {server.api_key}"
    message = await fails(create(api_key="sk-wrong-secret").embed_query("Urlaub"))
    assert "sk-wrong-secret" not in message


@pytest.mark.req("LLM-2")
async def test_a_dead_endpoint_is_not_asked_again_for_a_while(server, create):
    embedder = create(breaker_threshold=2, breaker_pause_s=60)
    server.embeddings = Failure(400)
    for _ in range(2):
        assert "HTTP 400" in await fails(embedder.embed_query("Urlaub"))
    assert "repeatedly" in await fails(embedder.embed_query("Urlaub"))
    assert len(server.requests) == 2


async def test_the_endpoint_is_asked_again_after_the_pause(server, create):
    embedder = create(breaker_threshold=1, breaker_pause_s=0)
    server.embedding_replies.append(Failure(400))
    await fails(embedder.embed_query("Urlaub"))
    np.testing.assert_allclose(await embedder.embed_query("Urlaub"), unit("Urlaub"), atol=1e-6)


def test_counted_tokens_are_about_right():
    embedder = EndpointEmbedder(base_url="http://127.0.0.1:9/v1", model="m", dimension=8)
    (count,) = embedder.count_tokens(["The probation period lasts six months and may be shortened."])
    assert 11 <= count <= 25
