"""A history of kernels to bisect: each commit assembles a bootable Image of its own from Debian's, in a second.

What a commit changes is in the Image itself, at the same length: its build (``uname -v``), what /proc says, the path
of the init that it looks for, its header.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_lava.images.cache import cache_dir

__all__ = ["FAULTS", "Tree"]

#: what can be wrong with a commit: a line of kernel.conf
FAULTS = {
    "good": "",
    "value": "ostype=Linus",
    "panic": "init=/gone",
    "load": "size=1099511627776",
    "build": "CC=nosuch",
}

_MAKEFILE = """\
include kernel.conf
CC ?= true
IMAGE = arch/arm64/boot/Image

$(IMAGE): kernel.conf assemble.py
	$(CC) -c init/main.c
	python3 assemble.py $(VANILLA) $@
"""
_ASSEMBLE = '''\
"""Put this commit's build and faults into a kernel Image."""
import re, struct, subprocess, sys
from pathlib import Path

image = bytearray(Path(sys.argv[1]).read_bytes())
conf = dict(line.split("=", 1) for line in Path("kernel.conf").read_text().splitlines() if "=" in line)

def patch(old, new):
    assert len(old) == len(new) and old in image, old
    image[:] = image.replace(old, new)

commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
build = re.search(rb"#1 [^\\n\\0]*", image)[0]
patch(build, f"#1 SMP {commit}".encode()[: len(build)])
release = re.search(rb"Linux version (\\S+)", image)[1].decode()
patch(b"Linux" + bytes(60) + b"(none)", conf.get("ostype", "Linux").encode() + bytes(60) + b"(none)")
patch(b"/init\\0\\0\\0initcall", conf.get("init", "/init").encode() + b"\\0\\0\\0initcall")
struct.pack_into("<Q", image, 16, int(conf.get("size", len(image))))  # image_size of the header

for name, content in {
    "include/config/auto.conf": b"CONFIG_ARM64=y\\n",
    "include/config/kernel.release": release.encode() + b"\\n",
    sys.argv[2]: image,
}.items():
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content)
'''


class Tree:
    """A kernel tree with git. ``build`` is the command that builds what is checked out."""

    def __init__(self, folder: Path, commits: Sequence[tuple[str, str]]) -> None:
        """``commits`` are pairs of a subject and a key of :data:`FAULTS`."""
        self.folder = folder
        self.build = f"make VANILLA={cache_dir() / 'debian-arm64' / 'vmlinuz'}"
        (folder / "init").mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        for name, content in {
            "Makefile": _MAKEFILE, "assemble.py": _ASSEMBLE, "init/main.c": "int main;\n",
            ".gitignore": "/arch\n/include\n/lava-runs\n",
        }.items():  # fmt: skip
            (folder / name).write_text(content)
        self.commits: Mapping[str, str] = {
            subject: self._commit(number, subject, fault) for number, (subject, fault) in enumerate(commits)
        }

    def _commit(self, number: int, subject: str, fault: str) -> str:
        (self.folder / "kernel.conf").write_text(f"# {number}\n{FAULTS[fault]}\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        """What git says."""
        who = {f"GIT_{role}_{key}": "me@here" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        env = os.environ | who | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
