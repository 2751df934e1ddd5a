"""Models that an operator mounts: layouts, pooling, prefixes, limits, and folders that are no models."""

import asyncio
import json

import numpy as np
import pytest

from opaa.errors import EmbedderUnavailableError
from opaa.llm.local_embedder import LocalEmbedder
from tests.fakes.onnx_models import TABLE, WORDS, write_description, write_model, write_tokenizer_json


@pytest.fixture
def folder(tmp_path):
    """A mounted model without anything optional."""
    folder = tmp_path / "tiny"
    write_model(folder)
    write_tokenizer_json(folder)
    return folder


def mean_of(*words):
    vector = TABLE[[WORDS.index(word) for word in words]].mean(axis=0)
    return vector / np.linalg.norm(vector)


async def test_passages_are_unit_vectors_in_the_order_given(folder):
    embedder = LocalEmbedder(folder, threads=2)
    texts = ["red " * length for length in (5, 1, 3)] + ["", "blue"]
    vectors = await embedder.embed_passages(texts)
    expected = [mean_of("<s>", *text.split(), "</s>") for text in texts]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert (await embedder.embed_passages([])).shape == (0, embedder.dimension)
    await embedder.close()


async def test_a_pooled_output_is_used_as_it_is(folder):
    write_model(folder, pooled=True)
    vector = await LocalEmbedder(folder, threads=1).embed_query("red green")
    np.testing.assert_allclose(vector, mean_of("<s>", "red", "green", "</s>"), atol=1e-6)


async def test_the_first_token_is_used_where_sentence_transformers_says_so(folder):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    vector = await LocalEmbedder(folder, threads=1).embed_query("red green")
    np.testing.assert_allclose(vector, mean_of("<s>"), atol=1e-6)


async def test_every_usual_input_is_given_and_the_model_may_lie_in_a_subfolder(folder):
    write_model(folder / "onnx", inputs=("input_ids", "attention_mask", "token_type_ids", "position_ids"))
    (folder / "model.onnx").unlink()
    vector = await LocalEmbedder(folder, threads=1).embed_query("green")
    np.testing.assert_allclose(vector, mean_of("<s>", "green", "</s>"), atol=1e-6)


async def test_a_text_is_cut_at_the_models_limit_but_counted_whole(folder):
    write_description(folder, max_tokens=4)
    embedder = LocalEmbedder(folder, threads=1)
    vector = await embedder.embed_query("red green blue blue blue blue blue blue blue blue")
    np.testing.assert_allclose(vector, mean_of("<s>", "red", "green", "</s>"), atol=1e-6)
    assert embedder.count_tokens(["red " * 20, ""]) == [22, 2]


async def test_e5_models_get_their_prefixes(folder):
    renamed = folder.with_name("my-e5-model")
    folder.rename(renamed)
    embedder = LocalEmbedder(renamed, threads=1)
    np.testing.assert_allclose(
        await embedder.embed_query("red"), mean_of("<s>", "query", ":", "red", "</s>"), atol=1e-6
    )
    np.testing.assert_allclose(
        (await embedder.embed_passages(["red"]))[0], mean_of("<s>", "passage", ":", "red", "</s>"), atol=1e-6
    )


def test_the_folder_describes_itself(folder):
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256}))
    plain = LocalEmbedder(folder, threads=1)
    assert (plain.name, plain.max_tokens, plain.query_prefix, plain.dimension) == ("tiny", 256, "", 4)
    write_description(folder, name="tiny-v2", max_tokens=99, query_prefix="Q: ")
    described = LocalEmbedder(folder, threads=1)
    assert (described.name, described.max_tokens, described.query_prefix) == ("tiny-v2", 99, "Q: ")


async def test_a_question_does_not_wait_for_passages(folder):
    embedder = LocalEmbedder(folder, threads=1)
    passages = asyncio.create_task(embedder.embed_passages(["red green blue"] * 2000))
    await asyncio.sleep(0)  # the passages are queued now
    await embedder.embed_query("red")
    assert not passages.done()
    await passages


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "no model.onnx"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"not a model"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
        (lambda folder: (folder / "sentencepiece.bpe.model").write_bytes(b"no"), "cannot be loaded"),
        (lambda folder: (folder / "opaa.json").write_text("{"), "cannot be loaded"),
        (lambda folder: write_model(folder, inputs=("input_ids", "pixels")), "pixels"),
    ],
)
def test_a_folder_that_is_no_model_is_named(folder, spoil, message):
    spoil(folder)
    with pytest.raises(EmbedderUnavailableError, match=message) as failure:
        LocalEmbedder(folder, threads=1)
    assert str(folder) in failure.value.message or message == "pixels"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EmbedderUnavailableError, match="nowhere"):
        LocalEmbedder(tmp_path / "nowhere", threads=1)
