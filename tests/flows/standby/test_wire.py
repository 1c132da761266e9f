"""Requests and descriptors arrive whole, or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from flows.standby import wire


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        for each in (here, there):
            each.settimeout(5)
        yield here, there


def test_a_request_arrives_with_its_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    read, write = os.pipe()
    request = {"words": ["a", "\udce9"], "environment": {"LONG": "x" * 100_000}}
    wire.send(here, request, (read, write))
    received, (mine, other) = wire.receive(there, 2)
    assert received == request
    os.write(other, b"through")
    assert os.read(mine, 10) == b"through"
    for number in (read, write, mine, other):
        os.close(number)


@pytest.mark.parametrize("noise", [b"", b"ab", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}"])
def test_what_is_no_request(noise: bytes, pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    here.sendall(noise)
    here.shutdown(socket.SHUT_WR)
    with pytest.raises(ValueError):
        wire.receive(there, 3)
