"""A form out of files, as Django reads it: here by the parser of the standard library."""

from __future__ import annotations

import tracemalloc
from email.parser import BytesParser
from pathlib import Path

from pytest_lava.sinks.multipart import Multipart, Upload


def test_every_byte_in_pieces_of_any_size(tmp_path: Path) -> None:
    data = {"tests": b"{}", "empty": b"", "all": bytes(range(256)) * 300, "tail": b"\r\n--lava-\r\n"}
    uploads = []
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
        uploads.append(Upload("attachment", f"{name}.bin", tmp_path / name))
    for size in (1, 7, 65536, -1):
        body = Multipart(uploads)
        pieces = []
        while piece := body.read(size):
            pieces.append(piece)
        whole = b"".join(pieces)
        assert len(body) == len(whole)
        boundary = body.content_type.partition("boundary=")[2].encode()
        parts = whole.split(b"--" + boundary)
        assert parts[0] == b""
        assert parts[-1] == b"--\r\n"
        for (name, content), part in zip(data.items(), parts[1:-1], strict=True):
            head, _, found = part.partition(b"\r\n\r\n")
            header = BytesParser().parsebytes(head.lstrip(b"\r\n"))
            assert header.get_param("name", header="content-disposition") == "attachment"
            assert header.get_filename() == f"{name}.bin"
            assert found == content + b"\r\n"


def test_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    body = Multipart([Upload("attachment", "large", path)])
    tracemalloc.start()
    try:
        while body.read(16384):
            pass
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
        body.close()
