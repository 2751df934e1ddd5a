"""Log lines are JSON, from our own code and from libraries alike."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from opaa.telemetry import logs
logs.configure("INFO", "json")
structlog.contextvars.bind_contextvars(request_id="r1")
structlog.get_logger("opaa.test").info("indexed", documents=3)
structlog.get_logger("opaa.test").debug("not shown")
logging.getLogger("somebody.else").warning("careful: %s", "ü")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("opaa.test").exception("broke")
"""


@pytest.mark.req("OPS-3")
def test_every_line_is_json_with_severity_service_and_request_id() -> None:
    completed = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in completed.stderr.splitlines()]
    assert [line["message"] for line in lines] == ["indexed", "careful: ü", "broke"]
    assert [line["severity"] for line in lines] == ["INFO", "WARNING", "ERROR"]
    assert all(line["service"] == "opaa" and line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["documents"] == 3
    assert all(line["request_id"] == "r1" for line in lines)
    assert lines[2]["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert completed.stdout == ""
