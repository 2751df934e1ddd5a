"""`make bench`: every benchmark, a table on the screen and JSON in benchmark-results/.

`python -m tests.benchmark NAME …` runs only those named.
"""

import json
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from opaa.telemetry import logs

NAMES = ("audit", "embedder", "extraction", "indexing", "search", "serving")
SHOWN = {"what", "name", "value", "unit", "target", "detail"}
RESULTS = Path(__file__).parent.parent.parent / "benchmark-results"


def normalized(row: dict[str, Any]) -> dict[str, Any]:
    """Rows of all benchmarks in one shape."""
    rest = {key: value for key, value in row.items() if key not in SHOWN}
    return {
        "what": row.get("what") or row.get("name"),
        "value": row.get("value"),
        "unit": row.get("unit", ""),
        "target": row.get("target") or "",
        "detail": row.get("detail") or ", ".join(f"{key} {_short(value)}" for key, value in rest.items()),
        **rest,
    }


def _short(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) and value < 100 else str(value)


def main() -> int:
    logs.configure("ERROR", "text")
    console = Console(width=150)
    names = sys.argv[1:] or NAMES
    results: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        run: Callable[[], list[dict[str, Any]]] = import_module(f"tests.benchmark.{name}").run
        results[name] = [normalized(row) for row in run()]
        table = Table(title=name, title_justify="left")
        for column in ("What", "Value", "Unit", "Target", "Detail"):
            table.add_column(column, justify="right" if column == "Value" else "left")
        for row in results[name]:
            table.add_row(*(_short(row[key]) for key in ("what", "value", "unit", "target", "detail")))
        console.print(table)
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "cpus": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    path.write_text(json.dumps({"machine": machine, "results": results}, indent=2, ensure_ascii=False) + "\n")
    console.print(f"Written to {path.relative_to(RESULTS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
