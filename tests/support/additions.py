"""Additions of every kind, what a board has to show of them, and how to ask it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

from pytest_lava.console.shell import Shell
from support.volumes import run

WHEN = 1234567890
#: path on the board -> mode and kind, owner, group, links, time; then content, target or numbers
EXPECTED = {
    "/srv": "755 directory 0 0 - 1234567890",
    "/srv/set-id": "4755 regular 1000 5 2 1234567890 " + hashlib.md5(b"#!/bin/sh\n" * 5000).hexdigest(),
    "/srv/again": "4755 regular 1000 5 2 1234567890 " + hashlib.md5(b"#!/bin/sh\n" * 5000).hexdigest(),
    "/srv/empty": "600 regular 0 0 1 1234567890 " + hashlib.md5(b"").hexdigest(),
    "/srv/link": "777 symbolic 0 0 1 1234567890 ../etc/nowhere",
    "/srv/device": "620 character 0 5 1 1234567890 7 1",
    "/srv/pipe": "622 fifo 0 0 1 1234567890",
    '/srv/a "b" $c': "640 regular 0 0 1 1234567890 " + hashlib.md5(b"odd").hexdigest(),
    "/bin/in-a-folder-that-was-there": "755 regular 0 0 1 1234567890 " + hashlib.md5(b"tool").hexdigest(),
    "/etc/hostname": "604 regular 0 0 1 1234567890 " + hashlib.md5(b"renamed\n").hexdigest(),
    "/opt/tree/deep/file": "400 regular 0 0 1 1234567890 " + hashlib.md5(b"deep").hexdigest(),
    "/etc/hello.conf": "640 regular 0 0 1 - " + hashlib.md5(b"greeting=hello\n").hexdigest(),
    "/usr/bin/hello": "777 symbolic 0 0 1 - ../lib/hello/run",
    "/usr/lib/hello/run": "2755 regular 0 0 1 - " + hashlib.md5(b"#!/bin/sh\necho hello\n").hexdigest(),
}


def read_back(shell: Shell) -> dict[str, str]:
    """The same of a board."""
    found = {}
    for path, wanted in EXPECTED.items():
        said = shell.check(f"stat -c '%a %F|%u %g %h %Y|%t %T' '{path}'").stdout.strip().split("|")
        mode, _, kind = said[0].partition(" ")
        kind = kind.split()[0]
        owners, more = said[1].split(), ""
        if kind == "directory":
            owners[2] = "-"
        if wanted.split()[5] == "-":
            owners[3] = "-"
        if kind == "regular":
            more = shell.check(f"md5sum <'{path}'").stdout.split()[0]
        elif kind == "symbolic":
            more = shell.check(f"readlink '{path}'").stdout.strip()
        elif kind == "character":
            more = said[2]
        found[path] = " ".join([mode, kind, *owners, more]).strip()
    return found


def overlay(path: Path) -> Path:
    def member(name: str, kind: bytes, mode: int, *, uid: int = 0, gid: int = 0, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.linkname, info.mtime = kind, mode, uid, gid, link, WHEN
        return info

    with tarfile.open(path, "w:gz") as tar:
        script = member("srv/set-id", tarfile.REGTYPE, 0o4755, uid=1000, gid=5)
        script.size = 50_000
        odd = member('srv/a "b" $c', tarfile.REGTYPE, 0o640)
        odd.size = 3
        tool = member("bin/in-a-folder-that-was-there", tarfile.REGTYPE, 0o755)
        tool.size = 4
        device = member("srv/device", tarfile.CHRTYPE, 0o620, gid=5)
        device.devmajor, device.devminor = 7, 1
        tar.addfile(member("srv", tarfile.DIRTYPE, 0o755))
        tar.addfile(member("bin", tarfile.DIRTYPE, 0o700))  # it is there, and stays as it is
        tar.addfile(script, io.BytesIO(b"#!/bin/sh\n" * 5000))
        tar.addfile(member("srv/again", tarfile.LNKTYPE, 0o4755, link="srv/set-id"))
        tar.addfile(member("srv/empty", tarfile.REGTYPE, 0o600))
        tar.addfile(member("srv/link", tarfile.SYMTYPE, 0o777, link="../etc/nowhere"))
        tar.addfile(device)
        tar.addfile(member("srv/pipe", tarfile.FIFOTYPE, 0o622))
        tar.addfile(odd, io.BytesIO(b"odd"))
        tar.addfile(tool, io.BytesIO(b"tool"))
    return path


def plain(path: Path, content: bytes, *, end: bytes = b"") -> Path:
    path.write_bytes(content + end)
    os.utime(path, (WHEN, WHEN))
    return path


def tree(path: Path) -> Path:
    (path / "deep").mkdir(parents=True)
    plain(path / "deep/file", b"deep").chmod(0o400)
    return path


def package(folder: Path, script: str = 'touch "$DPKG_ROOT/var/hello-was-here"') -> Path:
    root = folder / "hello"
    for name in ("DEBIAN", "etc", "usr/bin", "usr/lib/hello"):
        (root / name).mkdir(parents=True, mode=0o755)
    (root / "DEBIAN/control").write_text(
        "Package: hello\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: hello\n"
    )
    (root / "DEBIAN/conffiles").write_text("/etc/hello.conf\n")
    (root / "DEBIAN/postinst").write_text(f"#!/bin/sh\n{script}\n")
    (root / "DEBIAN/postinst").chmod(0o755)
    (root / "etc/hello.conf").write_text("greeting=hello\n")
    (root / "etc/hello.conf").chmod(0o640)
    (root / "usr/lib/hello/run").write_text("#!/bin/sh\necho hello\n")
    (root / "usr/lib/hello/run").chmod(0o2755)
    (root / "usr/bin/hello").symlink_to("../lib/hello/run")
    run("dpkg-deb", "--root-owner-group", "-b", root, folder / "hello.deb")
    return folder / "hello.deb"
