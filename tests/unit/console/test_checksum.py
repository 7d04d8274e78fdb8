"""Sums like those of the board's own tools."""

from __future__ import annotations

import random
import subprocess

import pytest

from pytest_lava.console.checksum import cksum, md5


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 255, 256, 65535, 65536, 65537, 1 << 24])
def test_the_tools_agree(size: int) -> None:
    data = random.Random(size).randbytes(size)
    half = [data[: size // 3], b"", data[size // 3 :]]

    def said(tool: str) -> str:
        return subprocess.run([tool], input=data, capture_output=True, check=True).stdout.split()[0].decode()

    assert said("cksum") == str(cksum([data])) == str(cksum(half))
    assert said("md5sum") == md5([data]) == md5(half)
