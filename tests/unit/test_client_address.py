"""Whose address a request has, when it says itself where it comes from."""

import pytest

from opaa.api.client_address import client_address, parse_networks

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8::1"])


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", ["1.1.1.1"], "203.0.113.9"),  # not a proxy of ours: what it says does not count
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # the left one, anybody could have written
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("2001:db8::1", ["2001:db8::9"], "2001:db8::9"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_the_last_address_that_no_proxy_of_ours_has(peer: str, forwarded: list[str], expected: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected
