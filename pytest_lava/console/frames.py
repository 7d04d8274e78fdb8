"""Frames of the agent: what an answer looks like on the wire, and how to read it exactly in spite of kernel messages.

``\\n~id;status;uptime0;uptime1;size1;sum1;size2;sum2;flags~\\n<stdout><stderr>~id;status.\\n``; sizes in bytes, sums as
``cksum`` or ``md5sum`` prints them or ``-``, uptimes in seconds or nothing. Flags: ``s`` streamed before, so without
payload, ``f`` no space left on the board, ``g`` the files of the command are gone or were never made, ``t`` truncated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_lava.console.checksum import cksum, md5
from pytest_lava.console.kernel_records import excise, excise_surely

__all__ = ["Header", "find_header", "proven", "readings", "streams_of", "sum_matches"]

# numbers are bounded: what noise makes of them must not cost time or memory
_OF_NOTHING = ("-", "4294967295", "d41d8cd98f00b204e9800998ecf8427e")  # sums of an empty stream
_UPTIME = rb"(\d{1,10}(?:\.\d{1,6})?|)"
_SUM = rb"([0-9a-f]{1,32}|-)"
_FIELDS = re.compile(
    rb"~[0-9a-f]+;(\d{1,3});%s;%s;(\d{1,12});%s;(\d{1,12});%s;([sfgt]*)~(\r?)\n" % (_UPTIME, _UPTIME, _SUM, _SUM)
)


@dataclass(frozen=True)
class Header:
    """The head of an answer; ``end`` is where the payload begins in what was searched.

    ``seconds`` is how long the command ran on the board's clock, if it has one. ``returned`` says that newlines come
    with a carriage return, so that the tty has lost its settings.
    """

    status: int
    seconds: float | None
    sizes: tuple[int, int]
    sums: tuple[str, str]
    flags: str
    start: int
    end: int
    returned: bool = False

    @property
    def payload(self) -> int:
        """Bytes that follow."""
        return 0 if "s" in self.flags else sum(self.sizes)


def find_header(text: bytes, frame: str, *, base: int = 0, live: bool = False) -> Header | None:
    """The first complete header of ``frame`` in ``text``, which begins at offset ``base``.

    ``live``: one of an answer that was streamed; any other is a program's.
    """
    mark = b"~%s;" % frame.encode()
    at = text.find(mark)
    while at >= 0:
        if (match := _FIELDS.match(text, at)) and (not live or b"s" in match[8]):
            status, began, ended, size1, sum1, size2, sum2, flags, returned = match.groups()
            return Header(
                status=int(status),
                seconds=max(0.0, float(ended) - float(began)) if began and ended else None,
                sizes=(int(size1), int(size2)),
                sums=(sum1.decode(), sum2.decode()),
                flags=flags.decode(),
                start=base + at,
                end=base + match.end(),
                returned=bool(returned),
            )
        at = text.find(mark, at + 1)
    return None


def readings(data: bytes) -> Iterator[bytes]:
    """What may have been sent, the likeliest first: less kernel records, then less the tty's carriage returns."""
    yield excise_surely(data)
    yield excise(data)
    if b"\r\n" in data:
        yield data.replace(b"\r\n", b"\n")
        yield excise(data).replace(b"\r\n", b"\n")


def streams_of(text: bytes, frame: str, *, unsummed: bool = False) -> tuple[Header, tuple[bytes, bytes]] | None:
    """The whole answer in ``text``, if its sizes and sums are right; see :func:`proven`."""
    header = find_header(text, frame)
    if header is None or header.payload != header.sizes[0] + header.sizes[1]:
        return None
    end = text.rfind(b"~%s;%d.\n" % (frame.encode(), header.status))
    if end - header.end != header.payload:
        return None
    middle = header.end + header.sizes[0]
    streams = text[header.end : middle], text[middle:end]
    right = (proven([data], s, len(data), unsummed=unsummed) for data, s in zip(streams, header.sums, strict=True))
    return (header, streams) if all(right) else None


def proven(chunks: Iterable[bytes], expected: str, size: int, *, unsummed: bool) -> bool:
    """Whether so many bytes are those that the board summed up.

    Size alone proves them only on a board that is known to have no program for sums (``unsummed``): else noise, or a
    program that imitates us, could say so.
    """
    if size == 0:
        return expected in _OF_NOTHING
    return (unsummed or expected != "-") and sum_matches(chunks, expected)


def sum_matches(chunks: Iterable[bytes], expected: str) -> bool:
    """Whether data has the sum that the board printed; a board without any is believed by size alone."""
    if expected == "-":
        return True
    if len(expected) == 32:
        return md5(chunks) == expected
    return expected.isdigit() and cksum(chunks) == int(expected)
