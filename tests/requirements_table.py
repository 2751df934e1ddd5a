"""Which tests and pages stand behind each requirement: `make requirements` prints it and fails on an empty claim."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "requirements.md"


def proven() -> dict[str, list[str]]:
    """Tests by the ids in their marks `@pytest.mark.req("…")` (or a module's `pytestmark`)."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "req":
                for argument in node.args:
                    if isinstance(argument, ast.Constant):
                        found[str(argument.value)].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def claimed() -> list[tuple[str, str, str, str]]:
    """(id, status, what, page) of every row of the page."""
    rows = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[1] in {"works", "partial", "none"}:
            rows.append((cells[0], cells[1], cells[2], cells[3]))
    return rows


def main() -> int:
    tests, failures = proven(), []
    known = {identity for identity, *_ in claimed()}
    for identity, status, what, page in claimed():
        mine = tests.get(identity, [])
        print(f"{identity:7} {status:8} {len(mine):3} tests  {page or '-':36} {what}")
        if status != "none" and not mine:
            failures.append(f"{identity} is {status}, but no test names it")
        if status != "none" and not (page and (PAGE.parent / page).is_file()):
            failures.append(f"{identity} is {status}, but its page {page or '(none)'} does not exist")
    failures += [f"{identity} is named by a test, but not on the page" for identity in tests if identity not in known]
    for failure in failures:
        print(f"! {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
