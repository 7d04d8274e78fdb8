"""What options say, and what is wrong with it before a board is touched."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.cache import cache_dir
from pytest_lava.inject.additions import check, identity, modules_tree, parse_addition

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/:\0\n"), min_size=1).filter(
    lambda name: name not in (".", "..") and name.strip() == name
)


@pytest.mark.parametrize(
    ("text", "source", "target", "mode"),
    [
        ("a:/etc/a", "a", "/etc/a", None),
        ("a:/etc/a:644", "a", "/etc/a", 0o644),
        ("a:/etc/a:04755", "a", "/etc/a", 0o4755),
        ("a:/etc/", "a", "/etc/a", None),
        ("sub/a:b:/x//y/./z", "a:b", "/x/y/z", None),
        ("https://host:8080/f/a.bin#sha256=" + "0" * 64 + ":/a", "a.bin", "/a", None),
    ],
)
def test_file(text: str, source: str, target: str, mode: int | None) -> None:
    addition = parse_addition("--file", text)
    assert (addition.artefact.name, addition.target, addition.mode, addition.kind) == (source, target, mode, "file")
    assert bool(addition.artefact.url) == text.startswith("http")


@given(NAMES, st.lists(NAMES, min_size=1), st.one_of(st.none(), st.integers(0, 0o7777)))
def test_any_file(source: str, parts: list[str], mode: int | None) -> None:
    text = f"./{source}:/{'/'.join(parts)}" + ("" if mode is None else f":{mode:04o}")
    if "#" in source or "://" in text:
        return
    addition = parse_addition("--file", text)
    assert (addition.target, addition.mode) == (f"/{'/'.join(parts)}", mode)
    assert addition.artefact.path == Path(f"./{source}").absolute()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "write SRC:DST"),
        ("a:etc/a", "absolute path on the board"),
        ("a:/etc/a:rw", "'rw' is no mode"),
        ("a:/etc/a:9", "'9' is no mode"),
        ("a:/etc/a:77777", "no mode"),
        ("a:/etc/a:", "'' is no mode"),
        ("a:/../a", "without .."),
        ("a:/.", "path below /"),
        (":/a", "write SRC:DST"),
    ],
)
def test_a_file_that_is_written_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_addition("--file", text)


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("a.tar", "a.tar", "/"),
        ("a.tar:/", "a.tar", "/"),
        ("a.tar.zst:/usr/local/", "a.tar.zst", "/usr/local"),
        ("http://host/a.tgz", "a.tgz", "/"),
        ("http://host/a.tgz:/opt", "a.tgz", "/opt"),
    ],
)
def test_overlay(text: str, source: str, target: str) -> None:
    addition = parse_addition("--overlay", text)
    assert (addition.artefact.name, addition.target, addition.kind) == (source, target, "tar")


def test_a_folder_takes_all_that_is_in_it(tmp_path: Path) -> None:
    assert (parse_addition("--file", f"{tmp_path}:/").kind, parse_addition("--file", f"{tmp_path}:/x/").target) == (
        "tree",
        "/x",
    )
    with pytest.raises(ConfigurationError, match="keeps the modes"):
        parse_addition("--file", f"{tmp_path}:/x:755")


def test_what_is_no_such_thing(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no archive")
    deb = cache_dir() / "debian-arm64/debs"
    arm64 = next(deb.glob("busybox-static_*.deb"))
    cases = [
        (parse_addition("--file", f"{tmp_path}/none:/a"), "there is no such file"),
        (parse_addition("--overlay", f"{tmp_path}/none.tar"), "there is no such file"),
        (parse_addition("--overlay", str(tmp_path)), "is a folder; give a tar archive"),
        (parse_addition("--overlay", str(text)), "not a complete tarball"),
        (parse_addition("--deb", str(text)), "not a Debian package"),
        (parse_addition("--deb", str(tmp_path)), "is a folder; give a Debian package"),
        (parse_addition("--deb", str(arm64)), "this package is for arm64, the board needs one for amd64"),
        (parse_addition("--file", "/dev/null:/a"), "no regular file"),
    ]
    for addition, message in cases:
        with pytest.raises(ConfigurationError, match=message):
            check(addition, "x86_64", tmp_path / "cache")
    check(parse_addition("--deb", str(arm64)), "arm64", tmp_path / "cache")
    check(parse_addition("--deb", str(arm64)), "a board of a kind that nobody knows", tmp_path / "cache")


def test_identity_follows_all_that_goes_in(tmp_path: Path) -> None:
    tree, cache = tmp_path / "lib/modules/6.1.0", tmp_path / "cache"
    (tree / "kernel").mkdir(parents=True)
    file = tree / "kernel/a.ko"
    file.write_text("a")
    folder, one = modules_tree(tree), parse_addition("--file", f"{file}:/a")
    seen = {identity(folder, cache), identity(one, cache)}
    assert identity(folder, cache) in seen
    os.utime(file, (1, 1))
    seen |= {identity(folder, cache), identity(one, cache)}
    file.chmod(0o600)
    seen |= {identity(folder, cache), identity(one, cache)}
    (tree / "link").symlink_to("kernel")
    seen |= {
        identity(folder, cache),
        identity(parse_addition("--file", f"{file}:/b"), cache),
        identity(parse_addition("--file", f"{file}:/a:600"), cache),
    }
    assert len(seen) == 9
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(file, "a")
    assert identity(parse_addition("--overlay", f"{tmp_path}/x.tar"), cache) != identity(
        parse_addition("--overlay", f"{tmp_path}/x.tar:/x"), cache
    )
