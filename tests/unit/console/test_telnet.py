"""Telnet as a protocol: whatever comes in whatever pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.console.telnet import COM_PORT, NEGOTIATES, Telnet

IAC, SB, SE, WILL, WONT, DO, DONT = 255, 250, 240, 251, 252, 253, 254
BINARY_BOTH = bytes([IAC, WILL, 0, IAC, DO, 0])


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[at : at + size])
        at += size
    return pieces


def sent(telnet: Telnet) -> bytes:
    data = b"".join(telnet.replies)
    telnet.replies.clear()
    return data


COMMAND = st.one_of(
    st.tuples(st.integers(WILL, DONT), st.integers(0, 50)).map(lambda pair: bytes([IAC, *pair])),
    st.binary(max_size=8).map(lambda values: Telnet.parameters(COM_PORT, values)),
    st.just(bytes([IAC, 241])),
)


@given(st.lists(st.one_of(st.binary(max_size=30), COMMAND.map(lambda command: [command]))), st.lists(st.integers(0, 9)))
def test_data_comes_out_whole_whatever_is_negotiated(parts: list[bytes | list[bytes]], sizes: list[int]) -> None:
    telnet = Telnet(COM_PORT)
    telnet.feed(BINARY_BOTH)
    telnet._negotiate = lambda verb, option: None  # type: ignore[method-assign]  # so that it stays binary
    wire = b"".join(telnet.escaped(part) if isinstance(part, bytes) else part[0] for part in parts)
    data = b"".join(part for part in parts if isinstance(part, bytes))
    assert b"".join(map(telnet.feed, in_pieces(wire, sizes))) == data


@given(st.binary(), st.lists(st.integers(0, 9)))
def test_any_bytes_in_any_pieces(noise: bytes, sizes: list[int]) -> None:
    telnet = Telnet(COM_PORT)
    data = b"".join(map(telnet.feed, in_pieces(noise * 50, sizes)))
    assert len(data) <= len(noise) * 50
    assert len(telnet._rest) <= 4098


@given(st.binary(max_size=200), st.lists(st.integers(0, 9)))
def test_server_that_is_not_binary_hides_a_nul_behind_carriage_returns(data: bytes, sizes: list[int]) -> None:
    data = data.replace(b"\r\0", b"\r").rstrip(b"\r")
    telnet = Telnet()
    wire = telnet.escaped(data)
    assert b"".join(map(telnet.feed, in_pieces(wire, sizes))) == data


@given(st.lists(COMMAND, max_size=30))
def test_two_of_them_come_to_an_end(commands: list[bytes]) -> None:
    """A negotiation of which both sides answer everything would go on for ever."""
    one, other = Telnet(COM_PORT), Telnet()
    for command in commands:
        one.feed(command)
    for _ in range(10):
        other.feed(sent(one))
        one.feed(sent(other))
    assert not one.replies


def test_what_we_do_not_have_is_refused_once() -> None:
    telnet = Telnet()
    sent(telnet)
    telnet.feed(bytes([IAC, DO, 24, IAC, DO, 31, IAC, WILL, 5]))  # terminal type, window size, status
    assert sent(telnet) == bytes([IAC, WONT, 24, IAC, WONT, 31, IAC, DONT, 5])
    telnet.feed(bytes([IAC, DONT, 24, IAC, WONT, 5]))
    assert sent(telnet) == b""


def test_beginning_of_a_telnet_server_is_known() -> None:
    assert NEGOTIATES.match(bytes([IAC, WILL, 3, IAC, WILL, 1, IAC, DONT, 1]) + b"login: ")
    for raw in (b"login: ", b"\xff\xff\xff\xff", b"\xff\xfb", b"\xff\xfb\x01\xff\xff\x00", b"\0" * 10):
        assert not NEGOTIATES.match(raw)
