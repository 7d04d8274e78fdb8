"""Files in whole runs: the option, what the terminal shows, and what a run tells of the way they went."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from support.face import QUICK, Face

BOARD = """
    extends = "localhost"
    [console]
    url = "exec:sh -i"
    txdelay = 0.001
    txchunk = 16
"""
TESTS = """
    import random
    from pathlib import Path

    def test_put(shell, tmp_path):
        (tmp_path / "firmware.bin").write_bytes(random.Random(1).randbytes(SIZE))
        shell.put(tmp_path / "firmware.bin", str(tmp_path / "there"))
        assert (tmp_path / "there").read_bytes() == (tmp_path / "firmware.bin").read_bytes()
        assert shell.get(str(tmp_path / "there"), tmp_path / "back").read_bytes()[:1] != b""
"""


def on_terminal(face: Face, *arguments: str, stderr_too: bool = True) -> tuple[str, str]:
    """What a run says on a terminal of its own, and on a standard error that is none."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "pytest", *QUICK, *arguments]
    errors = theirs if stderr_too else subprocess.PIPE
    said = b""
    with subprocess.Popen(argv, cwd=face.path, stdin=theirs, stdout=theirs, stderr=errors) as process:
        os.close(theirs)
        try:
            while data := os.read(ours, 65536):
                said += data
        except OSError:  # EIO: the last one closed the other end
            pass
        finally:
            os.close(ours)
        rest = process.stderr.read() if process.stderr else b""
    assert process.returncode == 0, said.decode()
    return said.decode(), rest.decode()


def test_progress_on_a_terminal(face: Face) -> None:
    face.board("slow", BOARD)
    face.write(test_it=TESTS.replace("SIZE", "60_000"))
    said, _ = on_terminal(face, "--board=slow", "--transfer=serial", "test_it.py")
    shown = said.count("\x1b7")
    assert shown > 2
    assert said.count("\x1b8") == shown
    assert " % of 60.0 KB, " in said
    assert "put firmware.bin: " in said
    assert said.rindex("\x1b[K") > said.rindex("\x1b8")  # nothing is left of it
    assert "1 passed" in said


def test_no_progress_elsewhere(face: Face) -> None:
    face.board("slow", BOARD)
    face.write(test_it=TESTS.replace("SIZE", "60_000"))
    said, errors = on_terminal(face, "--board=slow", "--transfer=serial", "test_it.py", stderr_too=False)
    assert "1 passed" in said
    assert "\x1b7" not in said
    assert "% of" not in said + errors


def test_transfer_option(face: Face) -> None:
    face.write(test_it=TESTS.replace("SIZE", "100_000"))
    face.board("here", 'extends = "localhost"\n[transfer]\naddress = "127.0.0.1"\n')
    for mode, way in (("serial", None), ("http", "http"), ("auto", "http")):
        face.run("--board=here", f"--transfer={mode}", "test_it.py", passed=1)
        lines = [json.loads(line) for line in Path(face.latest, "events.jsonl").read_text().splitlines()]
        carriers = [line["carrier"] for line in lines if "carrier" in line]
        assert carriers == ([way] if way else [])


@pytest.mark.parametrize(
    ("arguments", "board", "complaint"),
    [
        (["--transfer=ssh"], "", "board 'mine' cannot take files by ssh: set [transfer] ssh"),
        (["--transfer=ftp"], "", "argument --transfer: invalid choice: 'ftp'"),
        ([], '[transfer]\nssh_options = ["-v"]\n', "ssh_options has no effect without ssh"),
        ([], '[transfer]\nssh = "-oProxyCommand=x"\n', "'transfer.ssh': this has to be a host"),
        ([], '[transfer]\nadress = "10.0.0.1"\n', "did you mean 'address'?"),
    ],
)
def test_mistakes(face: Face, arguments: list[str], board: str, complaint: str) -> None:
    face.write(test_it=TESTS)
    face.board("mine", f'extends = "localhost"\n{board}')
    assert complaint in "\n".join(face.refused("--board=mine", *arguments))
