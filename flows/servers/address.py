"""Where a server listens, and by which names it may be called."""

from __future__ import annotations

import argparse
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from tasks.config.settings import LOOPBACK
from tasks.errors import ConfigError

BACKLOG = 128
"""Connections that wait while a server starts; they are answered when it is there."""


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        host: The address that its socket is bound to; loopback, unless it is exposed.
        port: Its port.
        names: Further names of an exposed host.
    """

    host: str
    port: int
    names: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where people and clients on this machine find it."""
        return f"http://{_bracketed(_LOCAL.get(self.host, self.host))}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every Host header that is meant for it, and no other; the first is that of `url`."""
        own = [self.url.removeprefix("http://"), f"localhost:{self.port}"]
        own += [form for name in self.names for form in (name.lower(), f"{name.lower()}:{self.port}")]
        return tuple(dict.fromkeys(own))

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of its own pages; a proxy before it may speak TLS under one of its names."""
        secure = [
            f"https://{host}" for name in self.names for host in (name.lower(), f"{name.lower()}:{self.port}")
        ]
        return (*(f"http://{host}" for host in self.hosts), *secure)


_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}  # noqa: S104


def of(listener: socket.socket, names: tuple[str, ...] = ()) -> Address:
    """The address of a bound socket."""
    host, port = listener.getsockname()[:2]
    return Address(host, port, names)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in LOOPBACK or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def listen(host: str, port: int | None, usual: int) -> socket.socket:
    """A listening socket: on `port`, which must be free; else on the usual one, or on any that is free.

    Raises:
        ConfigError: The port is taken, or the host is none of this machine's addresses.
    """
    host = _LOCAL["localhost"] if host == "localhost" else host
    for wanted in (usual, 0) if port is None else (port,):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Only where the protocol is named does asyncio switch Nagle's delay off: 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
            listener.listen(BACKLOG)
            return listener
        except OSError as error:
            listener.close()
            problem = error
    if port is None:
        raise ConfigError(
            f"can't listen on {host}: {problem.strerror}", fix="give an address of this machine"
        )
    raise ConfigError(f"port {port} on {host} is taken", fix="choose another, or end what listens there")


def arguments(words: list[str]) -> tuple[Path, socket.socket | None]:
    """Root and inherited socket from the command line `ROOT [--listen FD]` of a server's process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--listen", type=int)
    given = parser.parse_args(words)
    return given.root.resolve(), None if given.listen is None else socket.socket(fileno=given.listen)


def _is_ip(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
