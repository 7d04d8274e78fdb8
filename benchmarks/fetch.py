"""A packed image of 1 GB from a loopback server: fetched, summed, unpacked and kept, beside ``curl | tool``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stats import Sample, Table, interleaved, progress, spread
from pytest_lava.images.cache import cache_dir, produce

__all__ = ["fetch_row"]

_MB = 1_000_000
#: how each is made, and unpacked
_TOOLS = {"zst": ("zstd -q -19 -T0", "zstd -qdc"), "gz": ("gzip -6", "gzip -dc"), "xz": ("xz -6 -T0", "xz -dc")}

_OURS = """\
import json, resource, sys, time
from pathlib import Path
from pytest_lava.deadline import Deadline
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Fetcher
from pytest_lava.images.shelf import Shelf
import pytest_lava.images.wire
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in used)
shelf = Shelf(Path(sys.argv[2]))
begin, before = time.perf_counter(), cpu()
found = Fetcher(shelf.folder, shelf.store).fetch(Artefact.parse(sys.argv[1]), unpack=True, deadline=Deadline.after(600))
wall, used = time.perf_counter() - begin, cpu() - before
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"wall": wall, "cpu": used, "rss": peak / 1024, "received": found.received, "path": str(found.path)}))
"""

_SERVER = """\
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1] + self.path, "rb") as file:
            status = os.fstat(file.fileno())
            tag = f'"{status.st_ino}-{status.st_mtime_ns}"'
            known = self.headers.get("If-None-Match") == tag
            self.send_response(304 if known else 200)
            self.send_header("ETag", tag)
            self.send_header("Content-Length", str(0 if known else status.st_size))
            self.end_headers()
            self.wfile.flush()
            left = 0 if known else status.st_size
            while left and (done := os.sendfile(self.connection.fileno(), file.fileno(), None, left)):
                left -= done
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def fetch_row(rounds: int, folder: Path) -> str:
    """The row ``fetch``; ``LAVA_FETCH_MB`` is the image's size (1,000), ``LAVA_FETCH_KINDS`` what is measured (all)."""
    size = int(os.environ.get("LAVA_FETCH_MB", "1000"))
    made, folder = _images(size), folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["what", "wall s", "CPU s", "peak RSS MB"]
    table = Table(f"A packed image of {size / 1000:g} GB from a loopback server", columns)
    with _server(made) as url:
        for kind in os.environ.get("LAVA_FETCH_KINDS", ",".join(_TOOLS)).split(","):
            _measured(table, kind, f"{url}/image.{kind}", made, rounds=rounds, folder=folder)
    held = subprocess.run(["du", "-m", made / "image"], capture_output=True, text=True, check=True).stdout.split()[0]
    table.remarks += [
        f"The image: three quarters files of /usr (as a tar), a quarter zeros; {held} MB on the disk of its maker.",
        "Ours sums the packed file by SHA-256, writes with holes, keeps a check value of what it wrote and a part file "
        "to go on from after a break. It is timed inside a new process with its modules loaded.",
        "The first floor neither sums nor keeps anything but the file that it writes; the second sums by "
        "`tee >(sha256sum)`, of which the shell waits for all.",
        "The second time with a checksum asks nobody, without one the server says that its file is the same (304).",
    ]
    return str(table)


def _measured(table: Table, kind: str, url: str, made: Path, *, rounds: int, folder: Path) -> None:
    unpack, out = _TOOLS[kind][1], folder / "out"
    packed = made / f"image.{kind}"
    with packed.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    want = _digest(made / "image")

    def ours() -> Sample:
        shutil.rmtree(folder / "cache", ignore_errors=True)
        first, path = _fetched(f"{url}#sha256={checksum}", folder / "cache")
        assert first["received"] == packed.stat().st_size
        again, _ = _fetched(f"{url}#sha256={checksum}", folder / "cache")
        asked, _ = _fetched(url, folder / "cache")
        assert _digest(path) == want
        assert again["received"] == asked["received"] == 0
        return {**first, "again": again["wall"], "asked": asked["wall"]}

    def floor(middle: str) -> Callable[[], Sample]:
        return lambda: _piped(f"curl -sS {url} | {middle}{unpack} > {out}; wait", out)

    samples = interleaved(rounds, {
        "ours": ours, "curl": floor(""), "tee": floor(f"tee >(sha256sum > {folder}/sum) | "),
    })  # fmt: skip

    def row(what: str, listed: list[Sample]) -> None:
        figures = [spread([one[name] for one in listed]) for name in ("wall", "cpu")]
        peak = [one["rss"] for one in listed if "rss" in one]
        table.add(f"{kind}, {what}", *figures, spread(peak, digits=0) if peak else "")

    row("ours", samples["ours"])
    row(f"`curl \\| {unpack} > file`", samples["curl"])
    row("the same with `tee >(sha256sum)`", samples["tee"])
    for name, what in (("again", "the checksum is known"), ("asked", "the server is asked")):
        times = [one[name] for one in samples["ours"]]
        table.add(f"{kind}, ours the second time, {what}", spread(times, digits=3), "", "")
        table.target(f"{kind}, the second time, {what}", statistics.median(times), 0.1, "s")
    for figure, limit in (("wall", 1.15), ("cpu", 1.1)):
        for name, floor_name in (("curl", "curl | tool"), ("tee", "that with a sum")):
            pairs = zip(samples["ours"], samples[name], strict=True)
            ratio = statistics.median(own[figure] / other[figure] for own, other in pairs)
            table.target(f"{kind}, {figure} over {floor_name}, pair by pair", ratio, limit, "x")
    table.target(f"{kind}, peak RSS", statistics.median(one["rss"] for one in samples["ours"]), 60, "MB")


def _fetched(text: str, cache: Path) -> tuple[Sample, Path]:
    command = [sys.executable, "-c", _OURS, text, str(cache)]
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    found = json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)
    return {name: value for name, value in found.items() if name != "path"}, Path(found["path"])


def _piped(script: str, out: Path) -> Sample:
    out.unlink(missing_ok=True)
    begin = time.perf_counter()
    environment = {**os.environ, "no_proxy": "127.0.0.1"}
    process = subprocess.Popen(["bash", "-o", "pipefail", "-ec", script], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - begin, os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, script
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _images(size: int) -> Path:
    """The image and what it packs to, made once (``zstd -19`` takes minutes) and kept in the cache."""

    def make(target: Path) -> None:
        target.mkdir()
        with (target / "image").open("wb") as file:
            for piece in _pieces(size):
                file.write(piece)
        for kind, (pack, _) in _TOOLS.items():
            progress(f"packing {size} MB as {kind}")
            with (target / "image").open("rb") as given, (target / f"image.{kind}").open("wb") as taken:
                subprocess.run(pack.split(), stdin=given, stdout=taken, check=True)

    return produce(cache_dir() / "benchmarks" / f"disk-{size}", make)


def _pieces(size: int) -> Iterator[bytes]:
    """As a root file system: three quarters are the files of this machine's ``/usr``, a quarter is free.

    It begins as a disk does, with room for a boot sector: what begins with a tar's head is unpacked as one.
    """
    yield bytes(_MB)
    files = subprocess.Popen(
        ["tar", "--sort=name", "--mtime=@0", "-cf", "-", "-C", "/usr", "bin", "lib", "share"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert files.stdout is not None
    for _ in range(size * 3 // 4):
        yield files.stdout.read(_MB).ljust(_MB, b"\0")
    files.kill()
    files.stdout.close()
    files.wait()
    for _ in range(size - size * 3 // 4 - 1):
        yield bytes(_MB)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
