"""The only way out: where this installation may send requests, and the clients that hold to it."""

from opaa.egress.client import client, transport
from opaa.egress.policy import EgressPolicy, EgressRefusedError

__all__ = ["EgressPolicy", "EgressRefusedError", "client", "transport"]
