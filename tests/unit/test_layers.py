"""The layers of docs/decisions/0001 hold."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.req("ARC-3")
def test_nothing_imports_upwards() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports"))]
    completed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stdout
    assert "1 kept, 0 broken" in completed.stdout
