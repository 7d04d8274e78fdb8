"""Files of commands: what is one, where it stands, and what is told of a file that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.commands.listing import read_command_file
from pytest_lava.errors import ConfigurationError


def read(folder: Path, text: str | bytes) -> list[tuple[str, str, int]]:
    file = folder / "list.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [(one.name, one.text, one.line) for one in read_command_file(str(file)).commands]


@pytest.mark.parametrize(
    "text, commands",
    [
        ("uname -a\n", [("uname -a", "uname -a", 1)]),
        ("# said first\n\n  true\n", [("true", "true", 3)]),
        ("kernel: uname -r\n", [("kernel", "uname -r", 1)]),
        ("a \\\n  b \\\n  c\nd", [("a   b   c", "a   b   c", 1), ("d", "d", 4)]),
        ("echo one\\\\\necho two\n", [("echo one\\\\", "echo one\\\\", 1), ("echo two", "echo two", 2)]),
        ("echo a \\\n# no comment here\n", [("echo a # no comment here", "echo a # no comment here", 1)]),
        ("true # the shell's own\n", [("true # the shell's own", "true # the shell's own", 1)]),
        ("true\r\nfalse\r\n", [("true", "true", 1), ("false", "false", 2)]),
        (b"\xef\xbb\xbfgr\xc3\xb6\xc3\x9fe: df /\n", [("größe", "df /", 1)]),
        (": >/tmp/x\n", [(": >/tmp/x", ": >/tmp/x", 1)]),
        ("http://a/b c\n", [("http://a/b c", "http://a/b c", 1)]),
        ("x=1; case $x in 1) true;; esac\n", [("x=1; case $x in 1) true;; esac",) * 2 + (1,)]),
    ],
)
def test_what_is_a_command(tmp_path: Path, text: str | bytes, commands: list[tuple[str, str, int]]) -> None:
    assert read(tmp_path, text) == commands


@pytest.mark.parametrize(
    "text, why",
    [
        ("# nothing\n\n", "there is no command in it"),
        ("true\nuname \\\n", r"list.txt:2: its last line ends with a backslash"),
        (b"true\n\xff\n", r"list.txt:2: save the file as UTF-8"),
        (b"true\na\0b\n", r"list.txt:2: there is a NUL"),
        (b"x" * (2 << 20), "it has 2 MB, so it is no list of commands"),
    ],
)
def test_what_is_wrong_has_its_line(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--command-file .*none: No such file"):
        read_command_file(str(tmp_path / "none"))


LINE = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\\#:"), min_size=1).filter(
    lambda text: text.strip() == text and "\x85" not in text and "\ufeff" not in text
)


@given(st.lists(st.lists(LINE, min_size=1, max_size=3), min_size=1, max_size=5))
def test_continued_lines_are_one_command(tmp_path_factory: pytest.TempPathFactory, commands: list[list[str]]) -> None:
    text = "".join(" \\\n".join(parts) + "\n" for parts in commands)
    found = read(tmp_path_factory.mktemp("list"), text)
    assert [command for _, command, _ in found] == [" ".join(parts) for parts in commands]
