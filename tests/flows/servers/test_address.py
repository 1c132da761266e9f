"""Where a server listens and by which names it goes."""

from __future__ import annotations

import socket

import pytest

from flows.servers import address
from flows.servers.address import Address
from tasks.errors import ConfigError


def test_names_of_a_loopback_server() -> None:
    where = Address("127.0.0.1", 4200)
    assert where.url == "http://127.0.0.1:4200"
    assert where.hosts == ("127.0.0.1:4200", "localhost:4200")
    assert where.origins == ("http://127.0.0.1:4200", "http://localhost:4200")


def test_names_of_an_exposed_server() -> None:
    where = Address("0.0.0.0", 80, ("Yard.example",))
    assert where.url == "http://127.0.0.1:80", "any address is no address to call"
    assert set(where.hosts) == {"127.0.0.1:80", "localhost:80", "yard.example", "yard.example:80"}
    assert "https://yard.example" in where.origins
    assert Address("::1", 4200).hosts[0] == "[::1]:4200"
    assert "10.0.0.4:4200" in Address("10.0.0.4", 4200).hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "10.0.0.4", "yard.example", "127.0.0.1.evil.example")],
)
def test_loopback(host: str, expected: bool) -> None:
    assert address.is_loopback(host) is expected


def test_port_that_is_taken() -> None:
    with address.listen("127.0.0.1", None, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            address.listen("127.0.0.1", port, 0)
        with address.listen("127.0.0.1", None, port) as other:
            assert other.getsockname()[1] != port, "a usual port that is taken makes way for any other"


def test_host_of_another_machine() -> None:
    with pytest.raises(ConfigError, match=r"can't listen on 192\.0\.2\.7"):
        address.listen("192.0.2.7", None, 0)


def test_inherited_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        root, given = address.arguments([".", "--listen", str(listener.fileno())])
        assert root.is_absolute()
        assert given is not None
        assert given.getsockname() == listener.getsockname()
        given.detach()
    assert address.arguments(["."])[1] is None


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """asyncio switches Nagle's delay off only on sockets that name their protocol."""
    with address.listen("127.0.0.1", 0, 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
