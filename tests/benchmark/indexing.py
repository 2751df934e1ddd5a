"""How fast a folder is indexed, and how much of that is the embedder's time."""

import hashlib
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray
from sqlalchemy import text

from opaa.access.service import create_workspace
from opaa.db.session import TenantContext
from opaa.indexing.jobs import Worker
from opaa.indexing.models import SourceRun
from opaa.indexing.runs import queue_run
from opaa.llm.port import Embedder
from opaa.runtime import open_indexer, open_runtime
from opaa.settings import load
from opaa.sources.service import create_source

FILES = 1000
FILES_EMBEDDED = 120
WORDS = 12_000


class InstantEmbedder:
    """Vectors from a hash, so that only the rest of indexing is measured."""

    name = "instant"
    dimension = 384
    max_tokens = 512
    query_prefix = ""
    passage_prefix = ""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) // 4 for text in texts]

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for row, passage in enumerate(texts):
            seed = int.from_bytes(hashlib.blake2b(passage.encode(), digest_size=8).digest(), "big")
            vectors[row] = np.random.default_rng(seed).standard_normal(self.dimension, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return (await self.embed_passages([text]))[0]

    async def close(self) -> None:
        return None


class TimedEmbedder(InstantEmbedder):
    """The real embedder with a clock around it."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.name, self.dimension, self.max_tokens = inner.name, inner.dimension, inner.max_tokens
        self.seconds = 0.0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        started = time.perf_counter()
        vectors = await self.inner.embed_passages(texts)
        self.seconds += time.perf_counter() - started
        return vectors


def write_files(folder: Path, count: int, seed: int) -> None:
    """Markdown files of about 4 KB with headings and natural word frequencies (Zipf)."""
    generator = random.Random(seed)
    vocabulary = [
        "".join(generator.choice("bdfgklmnprstvw") + generator.choice("aeiou") for _ in range(generator.randint(1, 4)))
        for _ in range(WORDS)
    ]
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    for number in range(count):
        parts = [f"# Document {number} {' '.join(generator.choices(vocabulary, weights, k=3))}\n"]
        while sum(map(len, parts)) < 4000:
            parts.append(f"\n## {' '.join(generator.choices(vocabulary, weights, k=3))}\n")
            for _ in range(3):
                sentence = " ".join(generator.choices(vocabulary, weights, k=28))
                parts.append(f"\n{sentence.capitalize()}.\n")
        (folder / f"{number:05}.md").write_text("".join(parts)[:4096], encoding="utf-8")


async def _index(files: int, *, instant: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="opaa-bench-") as root:
        folder = Path(root) / "files"
        folder.mkdir()
        write_files(folder, files, seed=7)
        settings = load({"OPAA_DATA_DIR": f"{root}/data", "OPAA_EMBEDDER_THREADS": "2"})
        async with open_runtime(settings) as runtime:
            embedder = InstantEmbedder() if instant else TimedEmbedder(runtime.embedder)
            runtime.embedder = embedder
            async with runtime.database.transaction(TenantContext.system(runtime.organization_id)) as session:
                workspace = await create_workspace(session, runtime.organization_id, "Bench")
                source = await create_source(
                    session, "system", workspace, kind="filesystem", name="bench", settings={"path": str(folder)}
                )
                run = await queue_run(session, "system", source)
            cpu = _cpu_seconds()
            started = time.perf_counter()
            async with open_indexer(runtime) as indexer:
                await Worker(runtime.database, indexer).run(until_idle=True)
                seconds = time.perf_counter() - started
                cpu = _cpu_seconds() - cpu
            async with runtime.database.session(TenantContext.system(runtime.organization_id)) as session:
                done = await session.get_one(SourceRun, run.id)
                size = await session.scalar(text("SELECT pg_database_size(current_database())"))
            if done.added != files:
                raise RuntimeError(f"only {done.added} of {files} files were indexed: {done.error}")
            embedding = embedder.seconds if isinstance(embedder, TimedEmbedder) else 0.0
            return {
                "seconds": seconds,
                "cpu": cpu,
                "chunks": done.chunks,
                "bytes": int(size or 0),
                "embedding": embedding,
            }


def _cpu_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def run() -> list[dict[str, Any]]:
    rest = uvloop.run(_index(FILES, instant=True))
    whole = uvloop.run(_index(FILES_EMBEDDED, instant=False))
    per_file = rest["seconds"] / FILES
    expected = per_file * FILES_EMBEDDED
    return [
        {
            "what": "index 4 KB Markdown, embedder aside",
            "value": round(FILES / rest["seconds"]),
            "unit": "files/s",
            "target": "≥ 300 files/s/core",
            "detail": f"{FILES} files, {rest['chunks']} chunks, {rest['cpu'] / rest['seconds']:.2f} cores in the "
            f"worker, so {FILES / rest['cpu']:.0f} files per second of its CPU",
        },
        {
            "what": "share of indexing time inside the embedder",
            "value": round(100 * whole["embedding"] / whole["seconds"], 1),
            "unit": "%",
            "target": "≥ 90 %",
            "detail": f"{FILES_EMBEDDED} files, {whole['chunks'] / whole['seconds']:.1f} chunks/s; "
            f"the rest alone takes {100 * expected / whole['seconds']:.1f} %",
        },
    ]
