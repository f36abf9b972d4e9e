"""The address that a server listens on, as typed: `127.0.0.1:9464`, `:9464`, `[::1]:0`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_PORT: Final = 65_535
SHAPE: Final = "Try 127.0.0.1:9464, :9464 or [::1]:9464"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on; an empty host stands for every one of this machine, port 0 for a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it."""
        from ipaddress import ip_address  # here, since no help page needs it

        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Read an address."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not is_bracketed) or not (port.isascii() and port.isdigit()):
        raise ValueError(f'"{text[:80]}" is not an address. {SHAPE}')
    if len(port) > len(str(MAX_PORT)) or int(port) > MAX_PORT:
        raise ValueError(f'"{text[:80]}" has a port above {MAX_PORT}. {SHAPE}')
    host = host[1:-1] if is_bracketed else host
    if is_bracketed and not _is_version_6(host):
        raise ValueError(f'"{text[:80]}" has no IPv6 address in its brackets. {SHAPE}')
    return ListenAddress(host, int(port))


def _is_version_6(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).version == 6
    except ValueError:
        return False
