"""What goes into images, read back on booted boards: in the initramfs, from the running board, by the board's dpkg."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from support.additions import EXPECTED, overlay, package, plain, read_back, tree
from support.boards import open_board
from support.face import Face
from support.volumes import MIB, make_ext4

from pytest_lava.board.board import State
from pytest_lava.errors import OperationFailed
from pytest_lava.events import EventLog
from pytest_lava.inject.additions import parse_addition
from pytest_lava.inject.onboard import deliver, install

pytestmark = pytest.mark.emulated


@pytest.fixture
def wanted(tmp_path: Path) -> list[tuple[str, str]]:
    """Options that ask for all that is expected."""
    return [
        ("--overlay", str(overlay(tmp_path / "overlay.tar.gz"))),
        ("--deb", str(package(tmp_path))),
        ("--file", f"{plain(tmp_path / 'host', b'renamed')}:/etc/hostname:604"),
        ("--file", f"{tree(tmp_path / 'tree')}:/opt/tree"),
        ("--file", f"{plain(tmp_path / 'later', b'renamed', end=bytes([10]))}:/etc/hostname:604"),
    ]


READS = """
    import json
    from pathlib import Path
    from support.additions import read_back
    def test_read_back(shell):
        found = read_back(shell)
        found["/bin"] = shell.check("stat -c %a /bin").stdout.strip()
        Path("found.json").write_text(json.dumps(found))
    def test_again_after_a_reboot(board):
        assert board.reboot().check("hello").stdout == "hello\\n"
"""


@pytest.mark.parametrize("board", ["qemu-arm64", "qemu-x86_64"])
def test_in_the_initramfs(
    face: Face, board: str, wanted: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    face.write(test_it=READS)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    result = face.run(f"--board={board}", *(word for pair in wanted for word in pair), "test_it.py", passed=2)
    assert result.ret == 0
    assert json.loads((face.path / "found.json").read_text()) == {**EXPECTED, "/bin": "755"}
    events = [json.loads(line) for line in (face.latest / "events.jsonl").read_text().splitlines()]
    assert [event["inject"] for event in events if "inject" in event] == ["initrd"]
    assert any("nothing runs its postinst" in event["message"] for event in events)


def test_on_the_running_board(tmp_path: Path, wanted: list[tuple[str, str]]) -> None:
    def without_times(facts: dict[str, str]) -> dict[str, str]:
        """busybox's tar gives folders and links the time at which it made them."""
        return {path: fact.rpartition(" ")[0] if path == "/srv" else fact.replace(fact.split()[5], "-", 1)
                if path == "/srv/link" else fact for path, fact in facts.items()}  # fmt: skip

    with open_board(tmp_path, "qemu-x86_64") as board:
        board.reach(State.SHELL)
        additions = [parse_addition(*pair) for pair in wanted]
        deliver(board.shell, additions, EventLog())
        assert without_times(read_back(board.shell)) == without_times(EXPECTED)
        assert board.shell.check("stat -c %a /bin; ls -A /tmp").stdout == "755\n"
        deliver(board.shell, additions, EventLog())  # as after a boot from a disk that has it already
        assert without_times(read_back(board.shell)) == without_times(EXPECTED)
        with pytest.raises(OperationFailed, match="the board's tar could not unpack"):
            deliver(board.shell, [parse_addition("--file", f"{wanted[0][1]}:/etc/hostname/below")], EventLog())
        assert board.shell.check("ls -A /tmp").stdout == ""


def test_the_boards_own_dpkg_installs(tmp_path: Path) -> None:
    """A real dpkg with a root of its own, by a shell of this machine."""
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/hello.conf").write_text("changed\n")
    (root / "var/lib/dpkg/status").touch()
    force = "not-root,script-chrootless,bad-path"
    text = f"""
        arch = "x86_64"
        console = "exec:env DPKG_ROOT={root} DPKG_FORCE={force} PATH={os.environ["PATH"]} sh"
        power = "none"
        boot = "attach"
    """
    good, bad = package(tmp_path), package(tmp_path / "bad", "echo broken >&2; exit 3")
    with open_board(tmp_path, "here", text) as board:
        board.reach(State.SHELL)
        install(board.shell, [])
        install(board.shell, [str(good)])
        assert (root / "var/hello-was-here").exists()
        assert (root / "etc/hello.conf").read_text() == "greeting=hello\n"
        assert stat.S_IMODE((root / "usr/lib/hello/run").stat().st_mode) == 0o2755
        assert "Status: install ok installed" in (root / "var/lib/dpkg/status").read_text()
        assert not good.exists()
        install(board.shell, [str(good)])  # a board that kept its disk
        with pytest.raises(OperationFailed, match="dpkg could not install") as caught:
            install(board.shell, [str(bad)])
        assert "broken" in caught.value.evidence
        assert bad.exists()


def test_a_disk_image_has_it_when_the_board_boots(face: Face, tmp_path: Path) -> None:
    for name in ("root/etc", "root/usr"):
        (tmp_path / name).mkdir(parents=True)
    image = make_ext4(tmp_path / "root.img", tmp_path / "root", 16 * MIB)
    new = plain(tmp_path / "new", b"new")
    face.write(
        test_it="""
            def test_it(shell):
                shell.check("mount -t ext4 /dev/vdb /mnt || mount -t ext4 /dev/vda /mnt")
                assert shell.read_bytes("/mnt/etc/new") == b"new"
        """
    )
    face.run("--board=qemu-arm64", "--image", image, "--file", f"{new}:/etc/new", "test_it.py", passed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--file", "nosuch:/a"], "--file nosuch:/a: there is no such file"),
        (["--file", "x:a"], "--file x:a: write SRC:DST[:MODE] with an absolute path"),
        (["--file", "x:/a:rwx"], "'rwx' is no mode"),
        (["--overlay", "text"], "not a complete tarball"),
        (["--deb", "text"], "text is not a Debian package"),
        (["--overlay", "."], "is a folder; give a tar archive"),
        (["--image", "text#partition=x"], "partition=x is no number of a partition"),
    ],
)
def test_mistakes_are_told_before_a_board_is_touched(face: Face, options: list[str], message: str) -> None:
    (face.path / "text").write_text("text")
    said = face.refused("--board=qemu-x86_64", *options)
    assert message in " ".join(said)
