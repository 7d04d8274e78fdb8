"""What every Shell promises, on every shell that can be had."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from support.lines import SHELLS, open_agent, open_shell, soon

from pytest_lava.console.agent import AgentShell
from pytest_lava.console.limits import KEEP_FILES
from pytest_lava.console.marker import MarkerShell
from pytest_lava.console.shell import Shell
from pytest_lava.errors import CommandTimeout, OperationFailed

Line = MarkerShell | AgentShell
OPEN = {"marker": open_shell, "agent": open_agent}
protocols = pytest.mark.parametrize("protocol", sorted(OPEN))


@pytest.fixture(scope="module", params=[f"{protocol}-{name}" for protocol in OPEN for name in sorted(SHELLS)])
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    protocol, name = request.param.split("-")
    with OPEN[protocol](tmp_path_factory.mktemp(request.param), SHELLS[name]) as shell:
        yield shell


@pytest.fixture
def shell(line: Line) -> Iterator[Shell]:
    """The shell of a module, which must be usable after every test."""
    yield line
    result = line.run("echo still here")
    assert (result.returncode, result.stdout_bytes, result.stderr_bytes) == (0, b"still here\n", b"")


def test_every_exit_status(shell: Shell) -> None:
    assert [shell.run(f"exit {status}").returncode for status in range(256)] == list(range(256))


def test_streams_apart_and_exact(shell: Shell) -> None:
    result = shell.run("echo out; echo err >&2; printf more; exit 3")
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\nmore", "err\n")
    assert result.command.startswith("echo out")
    assert 0 <= result.duration < 5
    assert not result.truncated


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\n",
        b"no newline",
        b"\n\n\n",
        b"# ",
        b"$ ",
        b"root@board:~# ",
        b"login: ",
        b"lava-123abc# ",
        b"\n@abc1+0,3,0+\nout\n@abc1-0@abc1-0\n",
        b"@abc-0@abc-0\r\n",
        b"\r\n\r\r\n\n\r",
        b"\x1b[6n\x1b[2J\x1b[31mred\x1b[0m",
        b"[    1.234567] usb 1-1: looks like the kernel's\n",
        b"tab\there, NUL \0 there, \x03 \x04 \x11 \x13 \x1a \x7f \xff\xfe",
        "Grüße, 世界 ✓\n".encode(),
        bytes(range(256)),
        bytes(reversed(range(256))) * 20,
    ],
    ids=lambda output: repr(output[:12]),
)
def test_any_output_on_either_stream(shell: Shell, output: bytes) -> None:
    octal = "".join(f"\\0{byte:03o}" for byte in output)
    result = shell.run(f"printf %b '{octal}'; printf %b '{octal}' >&2")
    assert (result.stdout_bytes, result.stderr_bytes, result.returncode) == (output, output, 0)


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("printf %s 'a\tb'", "a\tb"),
        ('echo "it\'s" \'say "hi"\' `echo sub` $(echo dollar) \\\\', 'it\'s say "hi" sub dollar \\\n'),
        ("echo Grüße 世界", "Grüße 世界\n"),
        ("for i in 1 2\ndo\n  echo $i\ndone", "1\n2\n"),
        ("cat <<'END'\n$not expanded\n\tindented # comment\nEND", "$not expanded\n\tindented # comment\n"),
        ("cat <<-END\n\t$((6 * 7))\n\tEND\n", "42\n"),
        ("echo one # a comment", "one\n"),
        ("echo a; # comment\necho b", "a\nb\n"),
        ("", ""),
        ("   ", ""),
        ("# nothing but a comment", ""),
        ("echo '!!' '!x' '~' '*' '%s' '\\n' | cat", None),
        ("printf '%s' '\x01\x03\x04\x1a\x1c\x7f'", "\x01\x03\x04\x1a\x1c\x7f"),
        ("printf %s 'carriage\rreturn'", "carriage\rreturn"),
        ("f() { echo function; }; f", "function\n"),
        ("case x in x) echo case;; esac", "case\n"),
    ],
)
def test_any_command(shell: Shell, command: str, output: str | None) -> None:
    result = shell.run(command)
    assert (result.returncode, result.stderr) == (0, "")
    assert output is None or result.stdout == output


@pytest.mark.parametrize("length", [239, 240, 241, 899, 900, 901, 4095, 4096, 5000, 20000])
def test_long_commands(shell: Shell, length: int) -> None:
    text = "".join(chr(97 + index % 26) for index in range(length))
    assert shell.run(f"printf %s {text}").stdout == text


@pytest.mark.parametrize(
    "given",
    ["", "one\n", "no newline", b"\0\1\2\xff", bytes(range(256)) * 9, "Grüße\r\n\t'\"\\%s\n"],
    ids=lambda given: repr(given[:12]),
)
def test_input(shell: Shell, given: str | bytes) -> None:
    expected = given.encode() if isinstance(given, str) else given
    assert shell.run("cat", input=given).stdout_bytes == expected


def test_without_input_there_is_none(shell: Shell) -> None:
    assert shell.run("cat; read x; echo $?").stdout == "1\n"


def test_folder_and_environment_do_not_leak(shell: Shell) -> None:
    before = shell.run("pwd").stdout
    awkward = {"LAVA_A": 'it\'s $HOME "quoted"\nsecond line\t\\n', "LAVA_B": ""}
    result = shell.run('pwd; printf "%s|%s" "$LAVA_A" "${LAVA_B-unset}"', cwd="/usr/bin", env=awkward)
    assert result.stdout == f"/usr/bin\n{awkward['LAVA_A']}|"
    assert shell.run("cd /; LAVA_C=1; export LAVA_C; umask 077; exec >/dev/null").returncode == 0
    assert shell.run('pwd; echo "${LAVA_A-unset}${LAVA_C-unset}"').stdout == f"{before}unsetunset\n"


def test_folder_that_is_not_there(shell: Shell) -> None:
    result = shell.run("echo not reached", cwd="/no/such/folder")
    assert (result.returncode, result.stdout) == (1, "")
    assert "/no/such/folder" in result.stderr


def test_folder_with_an_awkward_name(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / '-it\'s a "folder"'
    folder.mkdir()
    assert shell.run("pwd", cwd=str(folder)).stdout == f"{folder}\n"
    assert shell.run("pwd", cwd=folder.name, env={"CDPATH": str(tmp_path)}).returncode == 1


def test_background_job_returns_at_once_and_spoils_nothing(shell: Shell) -> None:
    start = time.monotonic()
    assert shell.run("(sleep 0.2; echo late; echo late >&2) & echo now").stdout == "now\n"
    assert time.monotonic() - start < 0.2
    for _ in range(3):
        assert shell.run("sleep 0.1; echo mine").stdout == "mine\n"


def test_background_job_that_never_stops_writing(shell: Shell) -> None:
    result = shell.run("(while :; do echo x; done) & echo $! >&2; sleep 0.05")
    assert set(result.stdout_bytes) <= set(b"x\n")
    assert shell.run(f"kill {int(result.stderr)}").returncode == 0


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("exit", 0),
        ("exit 7", 7),
        ("set -e; false; echo not reached", 1),
        ("trap 'exit 9' EXIT; true", 9),
        ("exec true", 0),
        ("exec sh -c 'exit 4'", 4),
        ("no-such-command-here", 127),
        ("/", 126),
        ("false | true", 0),
        ("set -u; echo $no_such_variable", None),
        ("kill -9 $(sh -c 'echo $PPID')", 137),
        ("set -x; true", 0),
        ("exec 2>&-; exec 1>&-; true", 0),
        ("IFS=x; true", 0),
        ("unset PATH; true", 0),
        ("stty -a >/dev/null 2>&1; true", 0),
    ],
)
def test_commands_that_try_to_break_out(shell: Shell, command: str, status: int | None) -> None:
    result = shell.run(command)
    assert "not reached" not in result.stdout
    assert result.returncode == status or (status is None and result.returncode != 0)


@pytest.mark.parametrize("command", ["if", "(", "echo 'unfinished", 'echo "unfinished', "done", "}", "a=$(", "<<"])
def test_syntax_errors(shell: Shell, command: str) -> None:
    result = shell.run(command)
    # an unfinished here-document is no error to all shells
    assert (result.returncode != 0 and result.stderr) or command in {"<<", "a=$("}


def test_output_beyond_the_limit_is_cut_and_marked(shell: Shell) -> None:
    result = shell.run("printf 0123456789; printf abc >&2; exit 5", max_output=4)
    assert (result.stdout, result.stderr, result.returncode, result.truncated) == ("0123", "abc", 5, True)
    exact = shell.run("printf 0123", max_output=4)
    assert (exact.stdout, exact.truncated) == ("0123", False)
    nothing = shell.run("printf 0", max_output=0)
    assert (nothing.stdout, nothing.truncated) == ("", True)
    assert not shell.run("true", max_output=0).truncated


def test_output_is_handed_over_and_exact_all_the_same(shell: Shell) -> None:
    said: list[bytes] = []
    result = shell.run("seq 3; printf 'no newline'; exit 7", on_output=said.append)
    assert (result.returncode, result.stdout, result.stderr) == (7, "1\n2\n3\nno newline", "")
    assert b"".join(said) == b"1\n2\n3\nno newline"
    result = shell.run("printf '\\000\\377\\r\\n'; echo err >&2", on_output=said.append)
    assert (result.returncode, result.stdout_bytes, result.stderr_bytes) == (0, b"\0\xff\r\n", b"err\n")
    assert b"err\n" in b"".join(said)
    said.clear()
    assert shell.run("true", on_output=said.append).returncode == 0
    assert said == []


def test_what_cannot_be_sent(shell: Shell) -> None:
    for wrong in (
        lambda: shell.run("echo \0"),
        lambda: shell.run("true", timeout=-1),
        lambda: shell.run("true", max_output=-1),
        lambda: shell.run("true", env={"A": "\0"}),
        lambda: shell.run("true", env={"A B": "x"}),
        lambda: shell.run("true", env={"A;reboot": "x"}),
        lambda: shell.run("true", cwd="/\0"),
    ):
        with pytest.raises(ValueError, match=r"cannot|must not"):
            wrong()


def test_check(shell: Shell) -> None:
    assert shell.check("echo fine").stdout == "fine\n"
    with pytest.raises(OperationFailed, match=r"^the command returned 2: echo .*: bad luck$") as caught:
        shell.check("echo first; echo bad luck >&2; exit 2")
    assert caught.value.evidence == "first\nbad luck\n"
    with pytest.raises(OperationFailed, match=r": \\x1b\[2Jred\\x07x{292}\.\.\.$"):
        shell.check("printf '\\033[2Jred\\007'; head -c 999 /dev/zero | tr '\\0' x; exit 1")


def test_command_over_its_time(shell: Shell) -> None:
    start = time.monotonic()
    with pytest.raises(CommandTimeout, match=r"^the command did not end within 1 s: echo begun; sleep 60$") as caught:
        shell.run("echo begun; sleep 60", timeout=1)
    assert caught.value.evidence == "begun\n"
    assert time.monotonic() - start < 4  # this machine may be busy


def test_no_time_at_all(shell: Shell) -> None:
    """Ctrl-C may come while the shell reads the command: what it has read by then is no command."""
    for _ in range(2):
        with pytest.raises(CommandTimeout):
            shell.run("sleep 60", timeout=0)
    shell.sendline("echo prom''pt")
    shell.expect("prompt", timeout=5)
    shell.expect(shell.prompt, timeout=5)


def test_busy_loop_over_its_time(shell: Shell) -> None:
    with pytest.raises(CommandTimeout):
        shell.run("while :; do :; done", timeout=0.1)


def test_interactive_program(shell: Shell) -> None:
    shell.sendline("cat")
    shell.sendline("to cat")
    assert shell.expect(["to dog", "to cat"], timeout=5) == 1
    shell.sendcontrol("d")
    shell.expect(shell.prompt, timeout=5)


def test_a_command_while_what_was_typed_still_runs(shell: Shell) -> None:
    shell.sendline("cat")
    with pytest.raises(CommandTimeout, match=r"^end what was typed before .*: echo begun$"):
        shell.run("echo begun", timeout=0.5)
    assert shell.run("echo usable").stdout == "usable\n"


def test_interactive_program_reads_from_where_the_last_command_ended(shell: Shell) -> None:
    shell.run("echo needle")
    shell.sendline("sleep 0.1; echo hay")
    with pytest.raises(pexpect.TIMEOUT):
        shell.expect("needle", timeout=0.2)
    shell.expect("hay", timeout=5)


def test_interactive_python(shell: Shell) -> None:
    shell.sendline("python3 -q -i")
    shell.expect(">>> ", timeout=10)
    shell.sendline("6 * 7")
    shell.expect("42", timeout=5)
    shell.expect(">>> ", timeout=5)
    time.sleep(0.1)  # python, too, loses a Ctrl-C that comes before it reads
    shell.sendcontrol("c")
    shell.expect("KeyboardInterrupt", timeout=5)
    shell.sendline("exit()")
    shell.expect(shell.prompt, timeout=5)


def test_ctrl_c_ends_an_interactive_program(shell: Shell) -> None:
    shell.sendline("""sh -c "echo be''gun; sleep 60" """)
    shell.expect("begun", timeout=5)
    time.sleep(0.1)  # busybox loses a Ctrl-C that comes between two commands of a list
    shell.sendcontrol("c")
    shell.sendline("echo free")
    shell.expect("free", timeout=5)


def test_line_is_given_back(shell: Shell, line: Line) -> None:
    line.leave(soon())
    line.take_over(soon())
    assert line.run("echo ours again").stdout == "ours again\n"


def test_taken_over_from_a_loop_that_an_earlier_run_left_behind(shell: Shell, line: Line) -> None:
    line.take_over(soon())
    assert line.run("echo ours now").stdout == "ours now\n"


def test_files_on_the_board_stay_few(shell: Shell) -> None:
    for _ in range(KEEP_FILES + 20):
        shell.run("cat", input="x")
    count = 'ls -a /dev/shm | grep -c "lava$PPID[.]"; ls -a /dev/shm | grep -c "lava$$[.]"'
    # three for each command; how many were run since they were removed depends on the tests before
    assert int(shell.run(count).stdout.split()[-1]) < 3 * (KEEP_FILES + 2) + 5


@protocols
@pytest.mark.parametrize("name", sorted(SHELLS))
def test_nothing_is_left_behind(name: str, protocol: str, tmp_path: Path) -> None:
    with OPEN[protocol](tmp_path, SHELLS[name]) as shell:
        pid = shell.run("echo $$; echo output").stdout.split()[0]
        files = [path for path in Path("/dev/shm").iterdir() if path.name.split(".")[1:2] == [f"lava{pid}"]]
        assert files
    assert not [path for path in files if path.exists()]
    assert not Path(f"/proc/{pid}").exists()


@protocols
def test_commands_that_ignore_ctrl_c_or_kill_their_shell(protocol: str, tmp_path: Path) -> None:
    """All shells at once, as it takes seconds."""
    wrong: list[str] = []
    killed: list[str] = []

    def try_out(name: str) -> None:
        (tmp_path / name).mkdir()
        with OPEN[protocol](tmp_path / name, SHELLS[name]) as shell:
            start = time.monotonic()
            try:
                shell.run("trap '' INT; while :; do sleep 1; done", timeout=0.1)
            except CommandTimeout:
                if not 2 <= time.monotonic() - start < 5 or shell.run("echo alive").stdout != "alive\n":
                    wrong.append(f"{name}: Ctrl-\\")
            killed.append(shell.run("echo $$").stdout.strip())
            try:
                shell.run("kill -9 $$", timeout=5)
                wrong.append(f"{name}: has survived kill -9")
            except Exception as error:
                if f"{SHELLS[name].split()[0]} was killed by SIGKILL" not in str(error):
                    wrong.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=try_out, args=(name,)) for name in SHELLS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(killed) == len(SHELLS)
    for pid in killed:  # what they could not tidy up has gone with their lines
        assert not Path(f"/dev/shm/.lava{pid}").exists()
        assert list(Path("/dev/shm").glob(f".lava{pid}.*")) == []


@protocols
def test_much_output_in_flat_memory(protocol: str, tmp_path: Path) -> None:
    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    with OPEN[protocol](tmp_path) as shell:
        size = 10_000_000
        assert len(shell.run(f"head -c {size} /dev/zero", timeout=30).stdout_bytes) == size
        before = resident()
        assert len(shell.run(f"head -c {size} /dev/zero | tr '\\0' 'x'", timeout=30).stdout_bytes) == size
        shell.sendline(f"head -c {size} /dev/zero | tr '\\0' '\\n'; echo the end")
        shell.expect("the end", timeout=30)
        assert resident() - before < 12
    assert (tmp_path / "console.log").stat().st_size > 3 * size


def test_a_long_command_that_a_time_limit_cuts_short_on_its_way(shell: Shell) -> None:
    """What the board has not got yet of its lines is not waited for: no ping is taken for one of them."""
    command = "\n".join(f": line {number} of many, which are more than a tty takes at once" for number in range(400))
    with pytest.raises(CommandTimeout, match=r": : line 0 of many, which are more than a tty takes at once \.\.\.$"):
        shell.run(command, timeout=0)
    for seconds in (0.002, 0.01):
        with contextlib.suppress(CommandTimeout):
            assert shell.run(command, timeout=seconds).stdout == ""
        assert shell.run("echo usable").stdout == "usable\n"


def test_many_commands(shell: Shell) -> None:
    results = shell.run_many(
        ["echo $A; pwd", "echo b >&2; exit 3", "printf cde"], cwd="/tmp", env={"A": "a"}, max_output=5
    )
    assert [(r.stdout, r.stderr, r.returncode) for r in results] == [("a\n/tm", "", 0), ("", "b\n", 3), ("cde", "", 0)]
    assert [r.truncated for r in results] == [True, False, False]
    with pytest.raises(TypeError, match="takes a list of commands, not the single text 'echo hi'"):
        shell.run_many("echo hi")
    with pytest.raises(CommandTimeout):
        shell.run_many(["true", "sleep 60"], timeout=0.5)
