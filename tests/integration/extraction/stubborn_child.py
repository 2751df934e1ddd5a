"""The real child process, with documents that make it misbehave: run by path, with the limits as its argument."""

import json
import os
import signal
import socket
import sys
import tempfile

from opaa.extraction.child import main
from opaa.extraction.convert import convert
from opaa.extraction.port import Extracted, Limits


def misbehave(data: bytes, name: str, limits: Limits) -> Extracted:
    """Do what `data` asks for; anything else is read as usual."""
    if data == b"hang":
        signal.pause()
    if data == b"spin":
        while True:
            pass
    if data == b"eat":
        hoard = []
        while True:
            hoard.append(bytearray(10_000_000))
    if data == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"leave":
        os._exit(3)
    if data == b"babble":
        os.write(1, b"noise on standard output")
    if data == b"environment":
        data = " ".join(sorted(os.environ)).encode()
    if data == b"write":
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
            file.flush()
    if data == b"connect":
        with socket.socket() as connection:
            connection.connect(("127.0.0.1", int(name.partition(".")[0])))
    return convert(data, name, limits)


if __name__ == "__main__":
    main(Limits(**json.loads(sys.argv[1])), misbehave)
