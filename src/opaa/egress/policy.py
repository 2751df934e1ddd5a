"""Which hosts may be asked, and which addresses their names may stand for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import urlsplit

from opaa.errors import UnavailableError

Address = IPv4Address | IPv6Address
SETTING = "OPAA_EGRESS_ALLOW"
HOST_NAME = re.compile(r"^(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$")
# A name whose last part is a number is an IPv4 address to some parsers (WHATWG URL, 3.5), such as 0x7f.1 or 2130706433.
NUMERIC = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$")
# Names that are nobody's on the Internet (RFC 6762, 8375, 9476 and usage): a private address is what they are for.
INTRANET = (".local", ".internal", ".lan", ".intranet", ".corp", ".home.arpa", ".svc", ".localhost", ".test")
# IPv6 addresses that carry an IPv4 address to which a gateway would connect (RFC 6052, 8215, 3056, 4380, 4291).
NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
COMPATIBLE = IPv6Network("::/96")
# RFC 1918, RFC 6598 (shared by carriers), RFC 4193.
PRIVATE = tuple(
    ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
NOT_MACHINES = tuple(ip_network(each) for each in ("192.0.0.0/24", "2001:db8::/32", "3fff::/20"))


class EgressRefusedError(UnavailableError):
    """A request that this installation does not send. The message says which setting would allow it."""

    code = "egress-refused"


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """`hosts` maps each host that may be asked to its ports (empty: any); `private` are those of them that may stand
    for private addresses, `networks` addresses that any of the hosts may stand for, of whatever kind."""

    hosts: dict[str, frozenset[int]]
    private: frozenset[str]
    networks: tuple[str, ...] = ()

    @classmethod
    def of(cls, urls: Iterable[str], allowed: Iterable[str] = ()) -> Self:
        """The hosts of configured addresses, and what OPAA_EGRESS_ALLOW names: `host`, `host:port` or a network.

        Raises ValueError for an entry that is none of them.
        """
        hosts: dict[str, frozenset[int]] = {}
        private: set[str] = set()
        networks: list[str] = []
        for url in urls:
            host = (urlsplit(url).hostname or "").lower()
            if host:
                hosts[host] = frozenset()
                if _is_literal(host) or "." not in host or host.endswith(INTRANET):
                    private.add(host)
        for entry in allowed:
            network = _network(entry)
            if network is not None:
                networks.append(network)
                if "/" not in entry:
                    hosts[entry.strip("[]").lower()] = frozenset()
                continue
            host, port = _host_and_port(entry)
            hosts[host] = hosts.get(host, frozenset()) | ({port} if port else frozenset())
            private.add(host)
        return cls(hosts, frozenset(private), tuple(networks))

    def check_host(self, host: str, port: int) -> str:
        """The host in one spelling. Raises EgressRefusedError for one that is not named or is oddly written."""
        name = host.strip("[]").lower()
        if not _is_literal(name) and (not HOST_NAME.match(name) or NUMERIC.search(name)):
            raise EgressRefusedError(f"{host[:100]!r} is not how a host is written; no request was sent")
        ports = self.hosts.get(name)
        if ports is None or (ports and port not in ports):
            raise EgressRefusedError(
                f"No request was sent to {host[:100]}:{port}, which is not configured; {SETTING} names further hosts"
            )
        return name

    def check_address(self, host: str, address: Address) -> None:
        """Whether a host may stand for an address. Raises EgressRefusedError."""
        if any(address in ip_network(network) for network in self.networks):
            return
        kind = kind_of(address)
        if kind == "public":
            return
        named = host in self.private
        if named and kind == "private":
            return
        if named and kind == "loopback" and (host == "localhost" or host.endswith(".localhost") or _is_literal(host)):
            return
        raise EgressRefusedError(
            f"No request was sent to {host[:100]}: its name stands for the {kind} address {address}; {SETTING} can "
            f"allow the host or the address"
        )


def kind_of(address: Address) -> str:
    """`public`, `private`, `loopback`, `link-local` or `reserved`; of an address inside another, that one's."""
    inner = embedded(address)
    if inner is not None:
        return kind_of(inner)
    kinds = {
        "loopback": address.is_loopback,
        "link-local": address.is_link_local,
        "private": any(address in network for network in PRIVATE if network.version == address.version),
        "public": address.is_global and not address.is_multicast and not _special(address),
    }
    return next((kind for kind, is_one in kinds.items() if is_one), "reserved")


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, compatible or translated."""
    if isinstance(address, IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if any(address in network for network in NAT64) or (address in COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _special(address: Address) -> bool:
    """Global by the registry, but not a machine's: reserved, of documentation, or a tunnel's."""
    if isinstance(address, IPv6Address) and (address.sixtofour is not None or address.teredo is not None):
        return True
    return address.is_reserved or any(
        address in network for network in NOT_MACHINES if network.version == address.version
    )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _network(entry: str) -> str | None:
    try:
        return str(ip_network(entry.strip("[]"), strict=True))
    except ValueError:
        if "/" in entry:
            raise ValueError(f"{entry!r} in {SETTING} is no network, such as 10.1.0.0/16") from None
        return None


def _host_and_port(entry: str) -> tuple[str, int | None]:
    host, _, port = entry.strip().lower().partition(":")
    if not HOST_NAME.match(host) or NUMERIC.search(host) or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise ValueError(f"{entry[:100]!r} in {SETTING} is no host, host:port or network")
    return host, int(port) if port else None
