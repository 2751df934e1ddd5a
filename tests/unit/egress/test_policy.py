"""What is a host, what an address is, and that nothing is reached that was not named."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.egress.policy import EgressPolicy, EgressRefusedError, kind_of

POLICY = EgressPolicy.of(
    ["https://api.example.com/v1", "http://127.0.0.1:11434/v1", "http://ollama:11434", "http://localhost:8000"],
    ["login.example.com:443", "vault.example.com", "10.20.0.0/16", "169.254.169.254"],
)


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.216.34", "public"), ("2606:4700::1111", "public"), ("::ffff:93.184.216.34", "public"),
        ("127.0.0.1", "loopback"), ("127.8.9.1", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"), ("64:ff9b::7f00:1", "loopback"), ("64:ff9b:1::7f00:1", "loopback"),
        ("10.0.0.1", "private"), ("172.31.255.255", "private"), ("192.168.1.1", "private"), ("100.64.0.1", "private"),
        ("fd00::1", "private"), ("::ffff:10.0.0.1", "private"), ("64:ff9b::a00:1", "private"),
        ("169.254.169.254", "link-local"), ("fe80::1", "link-local"), ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("0.0.0.0", "reserved"), ("::", "reserved"), ("224.0.0.1", "reserved"), ("ff02::1", "reserved"),
        ("255.255.255.255", "reserved"), ("240.0.0.1", "reserved"), ("198.18.0.1", "reserved"),
        ("192.0.2.1", "reserved"), ("2001:db8::1", "reserved"), ("2002:7f00:1::", "reserved"),
        ("2001:0:7f00:1::", "reserved"), ("0.1.2.3", "reserved"), ("172.32.0.1", "public"),
    ],
)  # fmt: skip
def test_kinds_of_addresses(address: str, kind: str) -> None:
    assert kind_of(ip_address(address)) == kind


@pytest.mark.req("SEC-10")
@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_of_the_same_kind(address: object) -> None:
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert kind_of(ip_address(wrapped)) == kind_of(ip_address(str(address)))


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(
    "host",
    ["0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "1.2.3.4.", "api.example.com.",
     "api.example.com@evil",
     "①②⑦.0.0.1", "ａpi.example.com", "127。0。0。1", "", ".", "a..b", "-a.com", "a b.com", "api.example.com\r\nx",
     "x" * 300,
     "[::ffff:7f00:1]", "api.example.com:443", "evil.example.com", "api.example.com.evil.com", "xapi.example.com"],
)  # fmt: skip
def test_hosts_that_are_oddly_written_or_not_named(host: str) -> None:
    with pytest.raises(EgressRefusedError):
        POLICY.check_host(host, 443)


@pytest.mark.req("SEC-10")
def test_named_hosts_and_ports() -> None:
    assert POLICY.check_host("API.example.com", 443) == "api.example.com"
    assert POLICY.check_host("login.example.com", 443)
    with pytest.raises(EgressRefusedError, match="OPAA_EGRESS_ALLOW"):
        POLICY.check_host("login.example.com", 22)


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("api.example.com", "93.184.216.34", True),
        ("api.example.com", "10.0.0.1", False),  # a public name that stands for a private address
        ("api.example.com", "127.0.0.1", False),
        ("api.example.com", "169.254.169.253", False),
        ("api.example.com", "10.20.3.4", True),  # the network is named
        ("api.example.com", "169.254.169.254", True),  # so is this very address
        ("vault.example.com", "10.0.0.1", True),  # the host is named by hand
        ("vault.example.com", "127.0.0.1", False),
        ("vault.example.com", "fe80::1", False),
        ("ollama", "172.18.0.3", True),  # no name of the Internet
        ("ollama", "127.0.0.1", False),
        ("localhost", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_addresses_that_a_name_may_stand_for(host: str, address: str, allowed: bool) -> None:
    if allowed:
        POLICY.check_address(host, ip_address(address))
    else:
        with pytest.raises(EgressRefusedError, match="No request was sent"):
            POLICY.check_address(host, ip_address(address))


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize("entry", ["10.0.0.1/8", "http://x", "a b", "0x7f.1", "x:0", "x:99999", "*", "*.example.com"])
def test_entries_that_are_no_hosts(entry: str) -> None:
    with pytest.raises(ValueError, match="OPAA_EGRESS_ALLOW"):
        EgressPolicy.of([], [entry])
