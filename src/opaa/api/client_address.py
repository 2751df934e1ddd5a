"""From which address a request comes, when proxies stand between."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(entries: Iterable[str]) -> Networks:
    """Raises ValueError for an entry that is no address or network."""
    return tuple(ip_network(entry, strict=False) for entry in entries)


def client_address(peer: str, forwarded_for: Iterable[str], trusted: Networks) -> str:
    """The peer's address or, where the peer is a trusted proxy, the last one that no trusted proxy has.

    `forwarded_for` are the values of the headers X-Forwarded-For in their order. What stands left of the first address
    that is not a trusted proxy's, anybody could have written.
    """
    address = peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    while _is_in(address, trusted) and hops:
        hop = hops.pop()
        if hop.startswith("["):
            hop = hop[1:].partition("]")[0]
        elif hop.count(":") == 1:
            hop = hop.partition(":")[0]
        try:
            address = str(ip_address(hop))
        except ValueError:
            break
    return address


def _is_in(address: str, networks: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
