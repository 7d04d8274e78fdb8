"""Properties: whatever kernel records do to an answer, it is read exactly or not at all."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_lava.console.checksum import cksum, md5
from pytest_lava.console.frames import find_header, readings, streams_of
from pytest_lava.console.kernel_records import excise, excise_surely

FRAME = "ab12f"
# what kernel messages, frames and programs are made of, more often than chance would have it
PIECES = st.sampled_from(
    [
        b"[",
        b"]",
        b"[   12.345678] ",
        b"[    0.000000] [    T1] ",
        b"\n",
        b"\r\n",
        b"~",
        b"~ab12f;0.\n",
        b";",
        b"\0",
        b" ",
    ]
)
TEXT = st.lists(PIECES | st.binary(max_size=12), max_size=20).map(b"".join)
RECORD = st.builds(
    lambda seconds, caller, text: b"[%12.6f] %s%s\r\n" % (seconds, caller, text),
    st.floats(0, 99999),
    st.sampled_from([b"", b"[    T1] ", b"[  C0] "]),
    st.binary(max_size=40).map(lambda data: bytes(32 + byte % 95 for byte in data)),
)
KINDS = {"cksum": lambda data: str(cksum([data])), "md5": lambda data: md5([data])}
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answer(out: bytes, err: bytes, kind: str = "cksum", status: int = 3, flags: str = "") -> bytes:
    sums = [KINDS[kind](data) for data in (out, err)]
    head = f"\n~{FRAME};{status};10.00;12.50;{len(out)};{sums[0]};{len(err)};{sums[1]};{flags}~\n"
    return head.encode() + out + err + f"~{FRAME};{status}.\n".encode()


def pierced(text: bytes, records: list[tuple[float, bytes]]) -> bytes:
    """As the kernel does it: records begin between any two bytes of a program, but never inside of one another."""
    places = sorted(((int(share * len(text)), record) for share, record in records), reverse=True)
    for at, record in places:
        text = text[:at] + record + text[at:]
    return text


def read(text: bytes) -> tuple[bytes, bytes] | None:
    return next((found[1] for reading in readings(text) if (found := streams_of(reading, FRAME))), None)


@many
@given(TEXT, TEXT, st.sampled_from(sorted(KINDS)), st.binary(max_size=30))
def test_answer_alone_is_read_as_it_is(out: bytes, err: bytes, kind: str, before: bytes) -> None:
    found = streams_of(before.replace(b"~", b"") + answer(out, err, kind), FRAME)
    assert found is not None
    assert found[1] == (out, err)
    assert (found[0].status, found[0].seconds, found[0].returned) == (3, 2.5, False)


@many
@given(TEXT, TEXT, st.lists(st.tuples(st.floats(0, 1), RECORD), max_size=4))
def test_records_are_taken_out_or_the_answer_is_refused(
    out: bytes, err: bytes, records: list[tuple[float, bytes]]
) -> None:
    assert read(pierced(answer(out, err), records)) in {(out, err), None}


@many
@given(
    st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"")),
    st.lists(st.tuples(st.floats(0, 1), RECORD), min_size=1, max_size=4),
)
def test_records_in_output_unlike_theirs_always_come_out(out: bytes, records: list[tuple[float, bytes]]) -> None:
    assert read(pierced(answer(out, b""), records)) == (out, b"")


@many
@given(TEXT, TEXT)
def test_carriage_returns_of_the_tty_are_taken_back(out: bytes, err: bytes) -> None:
    assert read(answer(out, err).replace(b"\n", b"\r\n")) == (out, err)


@many
@given(TEXT, TEXT, st.integers(0, 10_000), st.integers(1, 255))
def test_changed_byte_is_noticed(out: bytes, err: bytes, where: int, change: int) -> None:
    text = bytearray(answer(out, err))
    text[where % len(text)] ^= change
    assert read(bytes(text)) in {(out, err), None}


@many
@given(TEXT | st.binary(max_size=300), st.sampled_from([FRAME, "", "0"]))
def test_any_bytes_at_all(data: bytes, frame: str) -> None:
    find_header(data, frame)
    for text in readings(data):
        streams_of(text, frame)
        assert len(text) <= len(data)
    assert len(excise(data)) <= len(data)
    assert len(excise_surely(data)) <= len(data)


def test_numbers_that_noise_makes() -> None:
    for field in ("9" * 5000, "1.2.3", "", "-1", "1e5", "٣"):
        for at in range(8):
            fields = ["0", "1.0", "1.0", "0", "-", "0", "-", ""]
            fields[at] = field
            find_header(f"\n~{FRAME};{';'.join(fields)}~\n".encode(), FRAME)


def test_board_without_a_clock() -> None:
    header = find_header(b"~ab12f;0;;;0;-;0;-;~\n", FRAME)
    assert header
    assert header.seconds is None


def test_answer_without_a_sum_is_believed_only_of_a_board_that_has_none() -> None:
    """A program that imitates the agent, or noise, could leave it out."""
    alone = f"\n~{FRAME};0;1.0;1.0;4;-;0;-;~\nfake~{FRAME};0.\n".encode()
    assert streams_of(alone, FRAME) is None
    found = streams_of(alone, FRAME, unsummed=True)
    assert found is not None
    assert found[1] == (b"fake", b"")
    empty = f"\n~{FRAME};0;1.0;1.0;0;123;0;-;~\n~{FRAME};0.\n".encode()
    assert streams_of(empty, FRAME) is None


def test_header_of_an_answer_that_was_live_says_so() -> None:
    forged = f"\n~{FRAME};0;1.0;1.0;0;-;0;-;~\n"
    text = f"{forged}said by a program\n~{FRAME};3;1.0;1.0;0;-;0;-;s~\n~{FRAME};3.\n".encode()
    header = find_header(text, FRAME, base=100, live=True)
    assert header is not None
    assert (header.status, header.start) == (3, 100 + text.rindex(b"~ab12f;3;1"))
