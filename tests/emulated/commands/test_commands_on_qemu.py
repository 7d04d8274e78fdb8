"""A large script, files that come back and a tool of this machine beside an emulated board."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest
from support.face import Face
from support.torture import seed

pytestmark = pytest.mark.emulated


def test_a_large_script_its_files_and_a_tool_beside_it(face: Face) -> None:
    """The script has 1 MB of noise in it, which it puts together again."""
    face.snapshots = True
    noise = base64.encodebytes(random.Random(seed()).randbytes(800_000)).decode()
    script = face.path / "größe.sh"
    script.write_text(
        f"#!/bin/sh -e\ncat <<'X' >/tmp/noise.txt\n{noise}X\nmd5sum </tmp/noise.txt\necho $1 >/tmp/a.log\n"
    )
    assert script.stat().st_size > 1 << 20
    tool = 'echo "$LAVA_BOARD $LAVA_ARCH $LAVA_KERNEL"; grep -q Linux "$LAVA_CONSOLE" && echo console; exit 0'
    face.run(
        script.name, "--board=qemu-arm64", "--script-args=said", "--collect-file=/tmp/*.log", "--host-command", tool,
        passed=2,
    )  # fmt: skip
    found = {name: one for run, cases in face.results().items() if run != "lava" for name, one in cases.items()}
    (script_result, tool_result) = found.values()
    files = {one["pathname"]: base64.b64decode(one["content"]) for one in script_result["attachments"]}
    assert files["stdout.txt"].split()[0].decode() == hashlib.md5(noise.encode()).hexdigest()
    assert files["a.log"] == b"said\n"
    said = base64.b64decode(tool_result["attachments"][0]["content"]).decode()
    assert said.startswith("qemu-arm64 arm64 6.")
