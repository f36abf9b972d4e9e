"""The address that a service of ours listens on."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from craft_events_cli.values import port_number

_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service of ours listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address of its root page."""
        return f"http://{self}/"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str, default: Address) -> Address:
    """Read where to listen: `HOST:PORT`, `HOST`, `PORT` or `[IPv6]:PORT`; `default` has what is not given.

    >>> str(address("9000", Address("127.0.0.1", 8000)))
    '127.0.0.1:9000'
    """
    if text.isascii() and text.isdigit():
        return Address(default.host, port_number(text))
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port, is_valid = rest.removeprefix(":"), _is_ipv6(host) and (not rest or rest.startswith(":"))
    elif text.count(":") > 1:
        host, port, is_valid = text, "", _is_ipv6(text)
    else:
        host, colon, port = text.partition(":")
        is_valid = _HOST.fullmatch(host) is not None and bool(port or not colon)
    if not is_valid:
        raise ValueError(f'"{text[:80]}" is not a valid address. Try 127.0.0.1:{default.port} or {default.port}')
    return Address(host.lower(), port_number(port) if port else default.port)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
