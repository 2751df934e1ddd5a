"""The process in which documents are read: `python -m opaa.extraction.child LIMITS`, talked to by `pool.py`.

Frames in both directions are a 4 byte length (big endian) and that many bytes. In: a JSON frame `{"name": …}`, then a
frame with the document. Out: a JSON frame, `{"ok": Extracted}` or `{"error": [reason, message]}`.
"""

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import BinaryIO

import orjson

from opaa.errors import ExtractionError
from opaa.extraction.convert import convert
from opaa.extraction.port import Extracted, Limits, Reason, refusal
from opaa.extraction.sandbox import enter_sandbox, limit_cpu, limit_memory

Convert = Callable[[bytes, str, Limits], Extracted]


def main(limits: Limits, convert: Convert = convert) -> None:
    """Answer requests on standard input until it closes."""
    requests = sys.stdin.buffer
    # What a library prints must not end up between the frames.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    enter_sandbox()
    limit_memory(limits.memory_bytes)
    while (head := _read_frame(requests)) is not None:
        data = _read_frame(requests)
        if data is None:
            return
        limit_cpu(limits.timeout_s)
        answer = _answer(data, orjson.loads(head)["name"], limits, convert)
        del data
        answers.write(struct.pack(">I", len(answer)) + answer)
        answers.flush()


def _answer(data: bytes, name: str, limits: Limits, convert: Convert) -> bytes:
    try:
        return orjson.dumps({"ok": asdict(convert(data, name, limits))})
    except ExtractionError as error:
        failure = error
    except MemoryError:
        failure = refusal(Reason.MEMORY)
    except RecursionError:
        failure = refusal(Reason.TOO_COMPLEX)
    except Exception as error:  # whatever a parser raises concerns this document alone
        failure = refusal(Reason.CRASHED, type(error).__name__)
    return orjson.dumps({"error": [failure.reason, failure.message]})


def _read_frame(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    (size,) = struct.unpack(">I", head)
    data = stream.read(size)
    return data if len(data) == size else None


if __name__ == "__main__":
    main(Limits(**json.loads(sys.argv[1])))
