"""What goes between a command and the process that stands by: one request with descriptors, then lines."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from typing import Any

HEAD = struct.Struct("!I")
LARGEST = 16 * 2**20
"""Bytes of a request; an environment takes some thousands."""
PATH_BYTES = 100
"""Longer addresses don't fit a Unix socket."""


def address(root: Path) -> str | None:
    """Where the process of a root listens; None where the path is too long for that."""
    path = str(root / ".state" / "standby.sock")
    return path if len(path.encode()) <= PATH_BYTES else None


def send(connection: socket.socket, request: dict[str, Any], descriptors: tuple[int, ...]) -> None:
    """Sends a request, and descriptors that the receiver gets as its own."""
    body = json.dumps(request).encode("utf-8", "surrogateescape")
    socket.send_fds(connection, [HEAD.pack(len(body))], descriptors)
    connection.sendall(body)


def receive(connection: socket.socket, descriptors: int) -> tuple[dict[str, Any], list[int]]:
    """What `send` sent. Raises ValueError or OSError where it is no whole request."""
    head, given, _, _ = socket.recv_fds(connection, HEAD.size, descriptors)
    if len(head) < HEAD.size or len(given) != descriptors:
        raise ValueError("no request")
    (left,) = HEAD.unpack(head)
    if left > LARGEST:
        raise ValueError("too long")
    body = b""
    while len(body) < left and (more := connection.recv(left - len(body))):
        body += more
    return json.loads(body.decode("utf-8", "surrogateescape")), given


def tell(connection: socket.socket, **facts: Any) -> None:
    """Sends a line to the command."""
    connection.sendall(json.dumps(facts).encode() + b"\n")
