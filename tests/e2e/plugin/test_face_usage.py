"""Mistakes that can be seen without a board: one plain sentence each, exit status 4, and nothing began."""

from __future__ import annotations

import os

import pytest
from support.face import Face
from support.kernels import x86_kernel


def test_unknown_board_lists_what_there_is(face: Face) -> None:
    face.board("mine", 'extends = "localhost"')
    (line,) = face.refused("--board=nosuch")
    assert "nosuch" in line
    assert all(name in line for name in ("localhost", "qemu-arm64", "qemu-x86_64", "mine"))


def test_broken_toml_and_unknown_key_name_file_line_and_the_nearest_key(face: Face) -> None:
    face.board("broken", 'description = "x"\narch = arm\n')
    face.board("typo", 'extends = "localhost"\nconsol = "x"\n')
    (line,) = face.refused("--board=broken")
    assert f"{face.path}/boards/broken.toml" in line
    assert "line 2" in line
    (line,) = face.refused("--board=typo")
    assert f"{face.path}/boards/typo.toml:2: unknown key 'consol'; did you mean 'console'?" in line


def test_kernel_files(face: Face) -> None:
    (face.path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (line,) = face.refused("--board=qemu-x86_64", "--kernel=nofile")
    assert "nofile: there is no such file" in line
    (line,) = face.refused("--board=qemu-x86_64", "--kernel=picture")
    assert "is a PNG picture, not a kernel" in line
    (line,) = face.refused("--board=qemu-arm64", "--kernel", x86_kernel(face.path / "bzImage"))
    assert "is a kernel for x86_64, which fits no given board: qemu-arm64 (arm64)" in line
    (line,) = face.refused("--board=localhost", "--kernel=picture,moduls=x")
    assert "'moduls=x' is not understood" in line


def test_qemu_not_installed(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    (line,) = face.refused("--board=qemu-arm64")
    assert "QEMU is not installed" in line
    assert "apt-get install" in line


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--command", "true"], "no board was given"),
        (["--kernel=x"], "no board was given"),
        (["--board=localhost", "--command", " "], "--command was given without a command"),
        (
            ["--board=localhost", "--command", "echo \udcff"],
            r"--command 'echo \udcff' is no UTF-8: write other bytes by",
        ),
        (["--board=localhost", "--stress", "echo \udcff"], r"--stress 'echo \udcff' is no UTF-8: write other bytes by"),
        (["--board=localhost", "--image=nofile"], "--image nofile: there is no such file"),
        (["--board=localhost", "--lava-dir=/proc/nosuch"], "cannot make the run folder /proc/nosuch"),
    ],
)
def test_options(face: Face, arguments: list[str], said: str) -> None:
    assert said in face.refused(*arguments)[0]


@pytest.mark.parametrize("value", ["-1", "soon", "nan", "inf"])
def test_seconds(face: Face, value: str) -> None:
    said = face.refused("--board=localhost", f"--command-timeout={value}")
    assert any(f"--command-timeout: '{value}' is not a number of seconds" in line for line in said)


def test_all_mistakes_are_told_at_once(face: Face) -> None:
    said = face.refused("--board=localhost", "--board=nosuch", "--kernel=nofile", "--image=noimage")
    assert len(said) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--collect-only"],
        ["--co", "-q"],
        ["--setup-plan"],
        ["--fixtures"],
        ["--fixtures-per-test"],
        ["--markers"],
        ["--help"],
        ["--version"],
        ["--cache-show"],
        ["-k", "nothing"],
        ["--deselect", "test_it.py"],
        ["nosuchfile.py"],
    ],
    ids=" ".join,
)
def test_what_runs_no_test_leaves_no_trace(face: Face, arguments: list[str]) -> None:
    face.write(test_it="def test_it(shell): raise SystemExit(9)")
    result = face.here("--board=localhost", "test_it.py", *arguments)
    assert result.ret in (0, 4, 5)
    assert face.untouched


def test_a_broken_module_leaves_no_trace(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass", test_broken="def test_it(shell: pass")
    result = face.here("--board=localhost", ".")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert face.untouched


def test_a_run_folder_of_an_earlier_run_is_not_touched_by_a_run_of_nothing(face: Face) -> None:
    folder = face.path / "out"
    folder.mkdir()
    (folder / "events.jsonl").touch()
    (folder / "report.html").write_text("old")
    result = face.here("--board=localhost", "--lava-dir=out", "-k", "nothing", "nosuch.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [path.name for path in face.path.glob("out*")] == ["out"]
    assert (folder / "report.html").read_text() == "old"


def test_options_are_in_a_group_of_their_own(face: Face) -> None:
    result = face.here("--help")
    result.stdout.fnmatch_lines(["boards, kernels and results (pytest-lava):", "*--board*", "*--lava-dir*"])


def test_a_cache_that_goes_with_the_run_and_no_run(face: Face) -> None:
    """Looking at what would run leaves nothing."""
    face.write(test_it="def test_it(shell): pass\n")
    result = face.here("--board=qemu-arm64", "--no-cache", "--collect-only", "test_it.py")
    assert result.ret == 0
    assert face.untouched


def test_limits_of_a_load_that_nothing_makes(face: Face) -> None:
    face.write(test_it="def test_it(shell): pass")
    (line,) = face.refused("--board=localhost", "--stress-limit=2h", "--stress-report=5", "test_it.py")
    assert "--stress-limit and --stress-report: there is no load; add --stress CMD or --until-failure" in line
    face.write(test_load="import pytest\n\n@pytest.mark.stress\ndef test_load(shell): pass")
    assert face.here("--board=localhost", "--stress-limit=2h", "--collect-only", "test_load.py").ret == 0


def test_a_run_folder_that_is_a_file(face: Face) -> None:
    (face.path / "run").touch()
    for look in ((), ("--collect-only",)):
        (line,) = face.refused("--board=localhost", "--lava-dir=run", *look)
        assert "--lava-dir run is no folder: give another one" in line
