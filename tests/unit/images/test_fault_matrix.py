"""Each step of a preparation with each thing that can go wrong in it: who is blamed, and what is left in the cache.

A step runs in a process of its own (``step.py``): it can be killed, and its cache can be a small disk (a tmpfs in a
mount namespace). After each fault the cache is read whole, nothing but a download to go on with is left behind, and
the step succeeds once the fault is gone.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.kernels import arm64_image, make_deb
from support.volumes import MIB, make_ext4
from support.webserver import WebServer, web_server

from pytest_lava.images.housekeeping import prune, verify

STEP = Path(__file__).with_name("step.py")
STEPS = ("fetch", "unpack", "inject", "deploy")
SOAK = bool(os.environ.get("LAVA_SOAK"))


@dataclass
class Scene:
    """What a step is given. ``spoil`` and ``mend`` are for faults of the source."""

    folder: Path
    server: WebServer
    step: str

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def source(self) -> str:
        name = {"fetch": "disk.img.gz", "unpack": "linux-image-6.1.0-x_arm64.deb", "inject": "tree", "deploy": "Image"}
        path = self.folder / name[self.step]
        return self.server.url(path.name) if self.step == "fetch" else str(path)

    @property
    def file(self) -> Path:
        """The file that can be cut: what is fetched or unpacked, or the base that something goes into."""
        return self.folder / "root.img" if self.step == "inject" else self.folder / self.source.rpartition("/")[2]

    def command(self, source: str = "") -> list[str]:
        given = source or self.source
        return [sys.executable, str(STEP), self.step, str(self.cache), given, str(self.folder / "root.img")]

    def run(self, *before: str, source: str = "") -> tuple[str, str, str]:
        """Class and blame of the error and its message; or the path."""
        command = [*before, *self.command(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        kind, blame, text = json.loads(done.stdout.splitlines()[-1])
        return kind, blame, text

    def assert_whole(self) -> None:
        """Nothing damaged; nothing left but what can be gone on with, once the next run has swept."""
        assert [str(held.path) for held, sound in verify(self.cache) if not sound] == []
        end = time.monotonic() + 10
        while left := self._left():  # a program that a killed run had started may write for a moment yet
            assert time.monotonic() < end, left
            time.sleep(0.05)

    def _left(self) -> list[str]:
        prune(self.cache, 1 << 40)
        return [path.name for path in self.cache.rglob(".*") if not path.name.endswith((".json", ".lock"))]


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    step: str = request.param
    image = os.urandom(MIB if step == "unpack" else 5 * MIB)  # dpkg-deb is slow
    (tmp_path / "disk.img.gz").write_bytes(gzip.compress(image, 1))
    (tmp_path / "Image").write_bytes(arm64_image() + image)
    if step == "unpack":
        content = {
            "boot/vmlinuz-6.1.0-x": arm64_image("6.1.0-x") + image,
            "lib/modules/6.1.0-x/kernel/a.ko": image[:99],
        }
        made = make_deb(tmp_path, content, name="linux-image-6.1.0-x")
        made.rename(tmp_path / "linux-image-6.1.0-x_arm64.deb")
    if step == "inject":
        (tmp_path / "etc/etc").mkdir(parents=True)
        make_ext4(tmp_path / "root.img", tmp_path / "etc", 64 * MIB)
        (tmp_path / "tree").mkdir()
        for number in range(100):
            (tmp_path / "tree" / str(number)).write_bytes(image[number * 50_000 :][:50_000])
    with web_server(tmp_path) as server:
        yield Scene(tmp_path, server, step)


def steps(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scene", names or STEPS, indirect=True)


def killed_when(scene: Scene, seen: Callable[[], bool]) -> None:
    process = subprocess.Popen(scene.command(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not seen() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.001)
    finally:
        process.kill()
        process.communicate()


@steps()
def test_killed(scene: Scene) -> None:
    """As soon as something is there, and (in a soak) at later moments."""
    for count in range(12 if SOAK else 2):
        begin: list[float] = []

        def seen(count: int = count, begin: list[float] = begin) -> bool:
            if not begin and any(scene.cache.rglob("*.tmp*")):
                begin.append(time.monotonic())
            return bool(begin) and time.monotonic() - begin[0] >= count * 0.01

        killed_when(scene, seen)
        scene.assert_whole()
    kind, _, path = scene.run()
    assert kind == ""
    assert Path(path).exists()
    scene.assert_whole()


@steps()
def test_disk_full(scene: Scene) -> None:
    """Of every size that is too small: the first write fails, or one in the middle."""
    scene.cache.mkdir()
    for size in (64, 300, 500, 700, 900) if SOAK else (64, 700):
        mount = f'mount -t tmpfs -o size={size}k none {scene.cache} && "$@" && ls -A {scene.cache}/* >&2'
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount, "sh", *scene.command()],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        kind, blame, message = json.loads(done.stdout.splitlines()[-1])
        assert (kind, blame) == ("DiskFull", "infrastructure"), message
        assert re.search(r"[Ff]ree some space", message.splitlines()[0])
        assert str(scene.cache) in message
        assert not re.search(r"\.tmp|\.staging|\.inject", done.stderr), done.stderr
    assert scene.run()[0] == ""


@steps("fetch", "deploy")
def test_disk_full_of_older_things(scene: Scene) -> None:
    """They go, and the step is tried once more."""
    scene.cache.mkdir()
    older = scene.cache / "media" / "older"
    program = (
        f"mount -t tmpfs -o size=16m none {scene.cache} && mkdir {older.parent} && "
        f'head -c 13000000 /dev/urandom > {older} && "$@" && ls {older.parent} {scene.cache}/objects >&2'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", program, "sh", *scene.command()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])[0] == "", done.stdout
    assert "older" not in done.stderr.split()


TRUNCATED = {
    "fetch": ("FetchFailed", "job", r"disk\.img\.gz: .*ends too early"),
    "unpack": ("FetchFailed", "job", r"damaged Debian package"),
    "inject": ("InjectFailed", "job", r"root\.img ends before its file system does: .*copy or build it again"),
}


@steps(*TRUNCATED)
def test_truncated(scene: Scene) -> None:
    content = scene.file.read_bytes()
    for share in (1, 4, 7) if SOAK else (4,):
        scene.file.write_bytes(content[: len(content) * share // 8])
        kind, blame, message = scene.run()
        expected = TRUNCATED[scene.step]
        assert (kind, blame) in {expected[:2], ("ConfigurationError", "configuration")}, message
        assert re.search(expected[2], message.splitlines()[0])
        scene.assert_whole()
    scene.file.write_bytes(content)
    assert scene.run()[0] == ""


@steps("fetch")
@pytest.mark.parametrize(
    ("fault", "kind", "blame", "message"),
    [
        ("reset", "NetworkError", "infrastructure", r"cannot fetch http.*"),
        ("404", "FetchFailed", "job", r"there is no such file on the server: correct the URL"),
        ("503", "NetworkError", "infrastructure", r"the server answered 503"),
        ("checksum", "FetchFailed", "job", r"correct the checksum, or the file"),
    ],
)
def test_server(scene: Scene, fault: str, kind: str, blame: str, message: str) -> None:
    source = scene.source
    match fault:
        case "reset":
            scene.server.cut = [100_000] + [0] * 20
        case "404":
            source = scene.server.url("nothing.img")
        case "503":
            scene.server.statuses = [503] * 20
        case _:
            source += f"#sha256={'0' * 64}"
    found = scene.run(source=source)
    assert found[:2] == (kind, blame), found
    assert re.search(message, found[2].splitlines()[0])
    scene.assert_whole()
    scene.server.cut, scene.server.statuses = [], []
    assert scene.run()[0] == ""
    assert list(scene.cache.rglob("*.part")) == []


@steps("inject")
def test_a_folder_as_the_image(scene: Scene) -> None:
    """Into which something is to be put."""
    image = scene.file
    image.rename(image.with_name("good.img"))
    image.mkdir()
    kind, blame, message = scene.run()
    assert (kind, blame) == ("ConfigurationError", "configuration"), message
    assert str(image) in message
    scene.assert_whole()
    image.rmdir()
    image.with_name("good.img").rename(image)
    assert scene.run()[0] == ""


@steps("fetch", "unpack", "deploy")
def test_a_folder(scene: Scene) -> None:
    """Where a file was meant: a thing to correct before anything is done."""
    folder = scene.folder / "folder.img"
    folder.mkdir()
    kind, blame, message = scene.run(source=str(folder))
    assert (kind, blame) == ("ConfigurationError", "configuration"), message
    assert str(folder) in message
    scene.assert_whole()
