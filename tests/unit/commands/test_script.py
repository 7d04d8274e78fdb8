"""Scripts: what is one, by what it is to be run, and what is told before it goes to a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_lava.commands.script import is_script, take_script
from pytest_lava.errors import ConfigurationError


def file(folder: Path, data: bytes, name: str = "check.sh") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name, data, is_one",
    [
        ("a.sh", b"true\n", True), ("a.bash", b"true\n", True), ("a", b"#!/bin/sh\n", True),
        ("a.pl", b"#!/usr/bin/perl\n", True), ("a", b"\x7fELF\2\1", True), ("a.py", b"#!/usr/bin/python3\n", False),
        ("a.txt", b"true\n", False), ("a", b"", False),
    ],
)  # fmt: skip
def test_what_is_a_script(tmp_path: Path, name: str, data: bytes, is_one: bool) -> None:
    assert is_script(file(tmp_path, data, name)) is is_one


@pytest.mark.parametrize(
    "first, words, needs",
    [
        (b"true", ("sh",), "sh"),
        (b"#!/bin/sh", ("/bin/sh",), "/bin/sh"),
        (b"#! /bin/bash -e", ("/bin/bash", "-e"), "/bin/bash"),
        (b"#!/usr/bin/awk -f  -v", ("/usr/bin/awk", "-f  -v"), "/usr/bin/awk"),
        (b"#!/usr/bin/env python3", ("/usr/bin/env", "python3"), "python3"),
        (b"#!/usr/bin/env -S python3 -u", ("/usr/bin/env", "-S python3 -u"), "python3"),
        (b"#!/usr/bin/env -S A=1 perl -w", ("/usr/bin/env", "-S A=1 perl -w"), "perl"),
    ],
)
def test_its_interpreter_is_what_the_kernel_takes(
    tmp_path: Path, first: bytes, words: tuple[str, ...], needs: str
) -> None:
    script = take_script(file(tmp_path, first + b"\necho hi\n"))
    assert (script.words, script.needs) == (words, needs)


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "this script is empty"),
        (b"#!/bin/sh\r\ntrue\r\n", r"check.sh:1: it has line ends of DOS .*sed -i 's/\\r\$//' check.sh"),
        (b"true\r\n", "line ends of DOS"),
        (b"#!\ntrue\n", "'#!' names no interpreter"),
        (b"#!/bin/sh\n\0\0", "NUL characters"),
    ],
)
def test_what_cannot_run_is_told_here(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        take_script(file(tmp_path, data))


def test_a_program_of_another_machine(tmp_path: Path) -> None:
    aarch64 = b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\2\0\xb7\0"
    assert take_script(file(tmp_path, aarch64), ("arm64",)).words == ()
    with pytest.raises(ConfigurationError, match="this program is for arm64, and the board is x86_64"):
        take_script(file(tmp_path, aarch64), ("x86_64",))
