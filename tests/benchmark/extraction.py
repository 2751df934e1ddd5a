"""How many documents per second extraction and chunking handle, by format.

Run as `python -m tests.benchmark.extraction`; takes about 20 seconds. Rates are for one child process, one document
after the other, as the caller sees them.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Extracted
from opaa.indexing.chunking import chunk_document

SAMPLES = Path(__file__).parents[2] / "samples"
_SECONDS = 1.0


def markdown_files(count: int = 200) -> list[bytes]:
    """Different Markdown files of about 4 KB with front matter, headings, a list and a table."""
    sentence = "Die Prüfung des Geräts {n} dauert {m} Minuten und endet mit einem Protokoll, das zehn Jahre bleibt. "
    files = []
    for n in range(count):
        parts = [f"---\ntitle: Gerät {n}\nowner: Marta Kowalczyk\nweight_g: {n}\nstatus: aktiv\n---\n# Gerät {n}\n"]
        for section in range(5):
            parts.append(f"## Abschnitt {section}\n\n{sentence.format(n=n, m=section) * 5}\n")
            parts.append("- eins\n- zwei\n\n| Teil | Preis |\n| --- | --- |\n" + f"| NL-{n} | {section} EUR |\n" * 5)
        files.append("\n".join(parts).encode()[:4096])
    return files


async def _rate(work: Callable[[], Awaitable[object]]) -> tuple[float, int]:
    """(median seconds of one call, calls) in about a second."""
    await work()
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        await work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), len(times)


async def _measure() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    files = markdown_files()
    async with ExtractionPool() as pool:
        start = time.perf_counter()
        await pool.extract(b"# First", "first.md")
        rows.append({"name": "child start, first document", "ms": (time.perf_counter() - start) * 1e3})
        rows.append({"name": "child resident after Markdown, MB", "value": _resident_mb(pool)})

        rows.append(await _pipeline("4 KB Markdown, one after the other", pool, files))
        extracted = [result for result in await pool.extract_many(_named(files)) if isinstance(result, Extracted)]
        start = time.process_time()
        chunks = sum(len(chunk_document(result.text)) for result in extracted)
        seconds = time.process_time() - start
        rows.append(
            {"name": "chunking alone, 4 KB Markdown", "ms": seconds / len(files) * 1e3, "per_s": len(files) / seconds}
        )
        rows.append({"name": "chunks per 4 KB file", "value": chunks / len(files)})

        for path in sorted(SAMPLES.glob("*/*"), key=lambda path: (path.suffix, path.name)):
            if not any(row["name"] == path.suffix for row in rows):
                data = path.read_bytes()
                median_s, calls = await _rate(lambda data=data, path=path: pool.extract(data, path.name))
                rows.append(
                    {
                        "name": path.suffix,
                        "file": path.name,
                        "ms": median_s * 1e3,
                        "per_s": 1 / median_s,
                        "calls": calls,
                    }
                )
        rows.append({"name": "child resident after all formats, MB", "value": _resident_mb(pool)})
    async with ExtractionPool(processes=2) as pool:
        await pool.extract_many(_named(files[:2]))
        start = time.perf_counter()
        await pool.extract_many(_named(files))
        per_s = len(files) / (time.perf_counter() - start)
        rows.append({"name": "4 KB Markdown, two children", "ms": 1e3 / per_s, "per_s": per_s})
    return rows


async def _pipeline(name: str, pool: ExtractionPool, files: list[bytes]) -> dict[str, Any]:
    """Extraction and chunking of each file, with the CPU time of both processes."""
    (pid,) = pool.child_pids
    child = psutil.Process(pid)
    before, start = time.process_time() + _cpu_s(child), time.perf_counter()
    for data, file_name in _named(files):
        chunk_document((await pool.extract(data, file_name)).text)
    wall_s = time.perf_counter() - start
    cpu_s = time.process_time() + _cpu_s(child) - before
    return {
        "name": name,
        "ms": wall_s / len(files) * 1e3,
        "per_s": len(files) / wall_s,
        "per_s_per_core": len(files) / cpu_s,
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _resident_mb(pool: ExtractionPool) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in pool.child_pids) / 1e6


def _named(files: list[bytes]) -> list[tuple[bytes, str]]:
    return [(data, f"file-{number}.md") for number, data in enumerate(files)]


def run() -> list[dict[str, Any]]:
    """Rows with `name` and some of `ms`, `per_s`, `per_s_per_core`, `value`."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    for row in run():
        figures = "  ".join(f"{key} {value:,.2f}" for key, value in row.items() if isinstance(value, float))
        print(f"{row['name']:<42} {figures}")
        if "--json" in sys.argv:
            print(json.dumps(row))
