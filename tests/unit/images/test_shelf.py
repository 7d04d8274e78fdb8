"""A cache folder in use: made once, never taken away from who uses it, shrunk in order, damage found."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.webserver import web_server

from pytest_lava.cli import main
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, NetworkError
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.housekeeping import holdings, parse_size, prune, verify
from pytest_lava.images.shelf import Shelf

KIB = 1 << 10


def tree(target: Path, content: bytes = b"x" * 100 * KIB) -> None:
    (target / "lib").mkdir(parents=True)
    (target / "lib" / "a").write_bytes(content)
    (target / "link").symlink_to("lib/a")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three things, of which the first was not used for longest."""
    folder = tmp_path / "cache"
    with closing(Shelf(folder)) as shelf:
        shelf.make("kernels", "one", tree, name="a kernel")
        shelf.make("media", "two", lambda target: target.write_bytes(b"y" * 100 * KIB) and None)
        shelf.store.add("an image", [b"z" * 100 * KIB], lambda: "three")
    for age, path in ((30, "kernels/.one.json"), (20, "media/.two.json"), (10, "objects/.three.json")):
        os.utime(folder / path, (1_000_000_000 - age, 1_000_000_000 - age))
    return folder


def names(cache: Path) -> list[str]:
    return [holding.name for holding in holdings(cache)]


def test_listed_in_the_order_in_which_it_may_go(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names(cache) == ["a kernel", "two", "an image"]
    with closing(Shelf(cache)) as shelf:
        shelf.make("kernels", "one", tree)  # used now
        shelf.store.get("three")
    assert (names(cache)[0], len(names(cache))) == ("two", 3)
    assert main(["cache", "ls", "--lava-cache", str(cache)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line[29:] for line in lines[:3]) == ["kernels  a kernel", "media    two", "objects  an image"]
    assert lines[3].endswith(f"in 3 things in {cache}")


def test_what_a_run_uses_stays(cache: Path) -> None:
    """Also if it is another process that makes space."""
    code = "import sys; from pathlib import Path; from pytest_lava.images.housekeeping import prune; " \
           "print(prune(Path(sys.argv[1]), 0))"  # fmt: skip
    with closing(Shelf(cache)) as shelf:
        path = shelf.make("kernels", "one", tree)
        image = shelf.store.get("three")
        freed = subprocess.run([sys.executable, "-c", code, str(cache)], capture_output=True, text=True, check=True)
        assert int(freed.stdout) >= 100 * KIB
        assert (path / "link").read_bytes() == b"x" * 100 * KIB
        assert image
        assert image.exists()
        assert sorted(names(cache)) == ["a kernel", "an image"]
        shelf.make("media", "two", lambda target: target.write_bytes(b"again") and None)
    prune(cache, 0)
    assert names(cache) == []
    assert [path.name for path in cache.rglob("*") if path.is_file()] == []


def test_shrunk_to_a_limit(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", "--limit", "250K", "--lava-cache", str(cache)]) == 0
    assert "a kernel" in capsys.readouterr().out
    assert names(cache) == ["two", "an image"]
    assert main(["cache", "prune", "--limit", "many", "--lava-cache", str(cache)]) == 4
    assert "--limit: 'many' is no size; write a number with K, M, G or T, such as 20G" in capsys.readouterr().err
    assert main(["cache", "prune", "--lava-cache", str(cache)]) == 0
    assert names(cache) == []


def test_removed_while_it_is_asked_for(tmp_path: Path) -> None:
    """Whoever gets a thing has it, however often somebody else makes space."""
    over = threading.Event()

    def shrink() -> None:
        while not over.is_set():
            prune(tmp_path, 0)

    other = threading.Thread(target=shrink)
    other.start()
    try:
        for _ in range(200):
            with closing(Shelf(tmp_path)) as shelf:
                path = shelf.make("kernels", "one", lambda target: tree(target, b"content"))
                assert (path / "lib" / "a").read_bytes() == b"content"
    finally:
        over.set()
        other.join()


def test_damage_is_found_and_made_good(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(sound for _, sound in verify(cache))
    for path in (cache / "kernels" / "one" / "lib" / "a", cache / "objects" / "three"):
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(5000)
            file.write(b"!")
    assert main(["cache", "verify", "--lava-cache", str(cache)]) == 1
    out = capsys.readouterr().out
    assert "a kernel" in out
    assert "an image" in out
    assert out.endswith("1 whole, 2 damaged\n")
    assert names(cache) == ["two"]
    with closing(Shelf(cache)) as shelf:
        assert (shelf.make("kernels", "one", tree) / "lib" / "a").read_bytes() == b"x" * 100 * KIB


@pytest.mark.parametrize("kind", ["kernels", "injected", "urls", "facts"])
def test_what_killed_runs_left_half_made_goes(cache: Path, kind: str) -> None:
    rest = cache / kind / ".0123.sha256.tmp-deadbeef"
    rest.parent.mkdir(exist_ok=True)
    rest.write_text("half")
    prune(cache, 1 << 40)
    assert not rest.exists()
    assert len(names(cache)) == 3


def test_a_download_that_broke_off_can_go_too(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with web_server(tmp_path / "www") as server, closing(Shelf(cache)) as shelf:
        (server.folder / "big").write_bytes(os.urandom(100 * KIB))
        server.cut = [50 * KIB, 0, 0, 0, 0]
        fetcher = Fetcher(cache, shelf.store)
        with pytest.raises(NetworkError):
            fetcher.fetch(Artefact.parse(server.url("big")), unpack=True, deadline=Deadline.after(3))
        (part,) = holdings(cache)
        assert (part.kind, part.size >= 50 * KIB) == ("parts", True)
        prune(cache, 0)
        assert holdings(cache) == []


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("20G", 20 << 30), ("1.5 MiB", 3 << 19), ("512k", 512 << 10), ("2TB", 2 << 40)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "limit") == size


def test_no_sizes() -> None:
    for text in ("", "G", "-1G", "1 apple"):
        with pytest.raises(ConfigurationError, match=r"^limit: .* is no size; write a number with K, M, G or T"):
            parse_size(text, "limit")
