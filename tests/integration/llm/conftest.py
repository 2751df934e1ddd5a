import socket

import pytest


@pytest.fixture
def unused_address():
    """A base URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}/v1"
