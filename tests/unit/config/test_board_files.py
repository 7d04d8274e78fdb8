from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_lava.config.boards import BoardConfig, BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.console.settings import LineSettings
from pytest_lava.errors import ConfigurationError
from pytest_lava.registry import Registry

GOOD = """
arch = "arm64"
power = "none"
console = "/dev/ttyUSB0"
boot = "login"
"""


class Folder:
    """Board files of a user, before the shipped ones."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> Path:
        path = self.path / f"{name}.toml"
        path.write_text(dedent(text))
        return path

    @property
    def files(self) -> BoardFiles:
        return BoardFiles([self.path, shipped("boards")], Registry())

    def load(self, name: str) -> BoardConfig:
        return self.files.load(name)

    def complaint(self, name: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.files.load(name)
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    "name", ["localhost", "panda", "qemu-arm", "qemu-arm64", "qemu-arm64-ext4", "qemu-arm64-tftp", "qemu-x86_64"]
)
def test_shipped_boards_are_valid(folder: Folder, name: str) -> None:
    board = folder.load(name)
    assert board.name == name
    assert name.startswith(board.device_type)
    assert board.model.description


def test_short_forms(folder: Folder) -> None:
    folder.write("b", GOOD)
    board = folder.load("b")
    assert (board.power.method, board.deploy.method, board.boot.method) == ("none", "none", "login")
    assert (board.model.console.url, board.model.console.speed) == ("/dev/ttyUSB0", 115200)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (GOOD + "descripton = 'x'\n", 6, "unknown key 'descripton'; did you mean 'description'?"),
        (GOOD + "[login]\nshell_promt = 'x'\n", 7, "unknown key 'login.shell_promt'; did you mean 'shell_prompt'?"),
        (GOOD + "[timeouts]\n  # a comment\n  kernl = 3\n", 8, "unknown key 'timeouts.kernl'; did you mean 'kernel'?"),
        (GOOD + "timeouts.kernl = 3\n", 6, "unknown key 'timeouts.kernl'; did you mean 'kernel'?"),
        (GOOD + "login = { usr = 'x' }\n", 6, "unknown key 'login.usr'; did you mean 'user'?"),
        (GOOD + "zzz = 1\n", 6, "unknown key 'zzz'"),
        (GOOD + "[timeouts]\nkernel = 'long'\n", 7, "key 'timeouts.kernel': write a number, got 'long'"),
        (GOOD + "[timeouts]\nkernel = 0\n", 7, "key 'timeouts.kernel': write a number greater than 0, got 0"),
        (GOOD + "[timeouts]\nboot = true\n", 7, "key 'timeouts.boot': write a number, got True"),
        (GOOD + "[retry]\nboot = true\n", 7, "key 'retry.boot': write a number, got True"),
        (GOOD + "[hardware]\nmemory = 'much'\n", 7, "key 'hardware.memory': this is no size; write a number with K, M"),
        (GOOD + "[login]\ncommands = 'one'\n", 7, 'key \'login.commands\': write a list, as in ["one", "two"], got '),
        (GOOD + "[login]\ncommands = ['one', 2]\n", 7, "key 'login.commands.1': write a text in quotes, got 2"),
        (GOOD + "[login]\nshell_prompt = '[#'\n", 7, "key 'login.shell_prompt': this is not a valid regular"),
        (GOOD.replace("arm64", "arm65"), 2, "key 'arch': write 'arm', 'arm64'"),
        (GOOD.replace('"login"', '"logon"'), 5, "unknown boot method 'logon'; did you mean 'login'?"),
        (GOOD.replace('"none"', '"non"'), 3, "unknown power method 'non'; did you mean 'none'?"),
        (GOOD.replace('"none"', '"zzz"'), 3, "unknown power method 'zzz'; there are command, none, qemu"),
        (GOOD.replace("/dev/ttyUSB0", "sokcet://h:1"), 4, "key 'console.url': sokcet:// is unknown; write a device,"),
        (GOOD.replace("/dev/ttyUSB0", "socket://h"), 4, "key 'console.url': a port is missing"),
        (GOOD.replace('console = "/dev/ttyUSB0"', 'console.url = "x"\nconsole.baudrate = 9600'), 5,
         "unknown key 'console.baudrate'; did you mean 'speed'?"),
        (GOOD + "[transfer]\naddress = 'http://10.0.2.2'\n", 7, "key 'transfer.address': write an address or a host's"),
        (GOOD + "[transfer]\nlisten = '127.0.0.1:80'\n", 7, "key 'transfer.listen': write an address or a host's"),
        (GOOD + "[transfer]\nssh = 'root@board -p 2'\n", 7, "key 'transfer.ssh': write USER@HOST or ssh://USER@HOST:"),
        (GOOD + "[transfer]\nssh = 'root@board:22'\n", 7, "key 'transfer.ssh': with a port, write ssh://USER@HOST:"),
        (GOOD + "[transfer]\nssh = '-oProxyCommand=x'\n", 7, "key 'transfer.ssh': this has to be a host, options go"),
        (GOOD.replace("/dev/ttyUSB0", "exec: "), 4, "key 'console.url': this names no serial line"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_line_and_key(folder: Folder, text: str, line: int, sentence: str) -> None:
    path = folder.write("b", text)
    assert folder.complaint("b").startswith(f"{path}:{line}: {sentence}")


@pytest.mark.parametrize("address", ["10.0.2.2", "lab-host.example.org", "fd00::1", "::1", "fe80::1%eth0"])
@pytest.mark.parametrize("ssh", ["root@board", "board", "ssh://root@board:2222", "root@fd00::2"])
def test_hosts_for_transfers(folder: Folder, address: str, ssh: str) -> None:
    folder.write("b", f"{GOOD}[transfer]\naddress = '{address}'\nssh = '{ssh}'\n")
    assert (folder.load("b").model.transfer.address, folder.load("b").model.transfer.ssh) == (address, ssh)


def test_missing_key(folder: Folder) -> None:
    path = folder.write("b", GOOD.replace('arch = "arm64"', ""))
    assert folder.complaint("b") == f"{path}: the key 'arch' is missing: write arm, arm64, riscv64, x86, x86_64 or host"
    path = folder.write("b", GOOD.replace('power = "none"', "[power]\non = 'x'\n[console]\nurl='x'\n"))
    assert f"{path}: the key 'power.method' is missing: write command, qemu or none" in folder.complaint("b")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("arch = \n", "at line 1"),
        ("a = 1\n[boot\n", "at line 2"),
        ("a = 1\na = 2\n", "at line 2"),
        ("a = 'x\n", "at end of document"),
    ],
)
def test_broken_toml_is_told_with_its_line(folder: Folder, text: str, problem: str) -> None:
    path = folder.write("b", text)
    complaint = folder.complaint("b")
    assert complaint.startswith(f"{path}: this is not valid TOML: ")
    assert problem in complaint


def test_file_that_is_no_text(folder: Folder) -> None:
    (folder.path / "b.toml").write_bytes(b"\xff\xfe\x00")
    assert "cannot read this board file" in folder.complaint("b")


def test_several_mistakes_together(folder: Folder) -> None:
    path = folder.write(
        "b",
        GOOD.replace('boot = "login"', "")
        + """
        nonsense = 1
        [timeouts]
        kernel = -1
        [boot]
        method = "uboot"
        commands = ["load {kernal}"]
        promt = "=> $"
        """,
    )
    complaint = folder.complaint("b").splitlines()
    assert [sentence.removeprefix(str(path)) for sentence in complaint] == [
        ":9: key 'timeouts.kernel': write a number greater than 0, got -1",
        ":7: unknown key 'nonsense'",
        ":12: key 'boot.commands.0': there is no placeholder {kernal}; did you mean {kernel}?, got 'load {kernal}'",
        ":13: unknown key 'boot.promt'; did you mean 'prompt'?",
    ]


def test_slips_in_a_drivers_own_keys(folder: Folder) -> None:
    path = folder.write("b", GOOD.replace('power = "none"', "") + "[power]\nmethod = 'command'\noon = 'x'\noff = 'y'\n")
    assert folder.complaint("b").splitlines() == [
        f"{path}: the key 'power.on' is missing",
        f"{path}:8: unknown key 'power.oon'; did you mean 'on'?",
    ]


def test_mistake_in_a_parent_is_told_with_the_parents_line(folder: Folder) -> None:
    parent = folder.write("type", GOOD + "abstract = true\n[login]\nusr = 'x'\n")
    folder.write("b", 'extends = "type"\n')
    assert folder.complaint("b").startswith(f"{parent}:8: unknown key 'login.usr'")


def test_chain(folder: Folder) -> None:
    folder.write("family", GOOD + "abstract = true\ndescription = 'family'\n[login]\nuser = 'a'\npassword = 'p'\n")
    folder.write("type", "extends = 'family'\nabstract = true\ndescription = 'type'\n[login]\nuser = 'b'\n")
    folder.write("b-01", "extends = 'type'\n[login]\nuser = 'c'\n")
    board = folder.load("b-01")
    assert board.chain == ("b-01", "type", "family")
    assert board.device_type == "family"
    assert not board.model.abstract
    assert (board.model.description, board.model.login.user, board.model.login.password) == ("type", "c", "p")


def test_another_method_starts_its_table_anew(folder: Folder) -> None:
    folder.write("type", GOOD.replace('power = "none"', "") + "[power]\nmethod = 'command'\non = 'x'\noff = 'y'\n")
    folder.write("same", "extends = 'type'\n[power]\noff = 'z'\n")
    folder.write("short", "extends = 'type'\npower = 'command'\n")
    folder.write("other", "extends = 'type'\npower = 'none'\n")
    folder.write("long", "extends = 'other'\n[power]\nmethod = 'command'\non = '1'\noff = '2'\n")
    assert (folder.load("same").power.options.on, folder.load("same").power.options.off) == ("x", "z")
    assert folder.load("short").power.options.off == "y"
    assert folder.load("other").power.method == "none"
    assert folder.load("long").power.options.on == "1"


def test_short_console_keeps_the_parents_speed(folder: Folder) -> None:
    folder.write("type", GOOD.replace('console = "/dev/ttyUSB0"', "") + "[console]\nurl = 'x'\nspeed = 9600\n")
    folder.write("b", "extends = 'type'\nconsole = '/dev/ttyUSB7'\n")
    assert (folder.load("b").model.console.url, folder.load("b").model.console.speed) == ("/dev/ttyUSB7", 9600)


def test_settings_of_the_line(folder: Folder) -> None:
    line = "speed = 9600\nparity = 'even'\nstopbits = 2\nrtscts = true\ntxdelay = 0.002\ntxchunk = 16\n"
    folder.write("b", GOOD.replace('console = "/dev/ttyUSB0"', "") + f"[console]\nurl = '/dev/ttyUSB0'\n{line}")
    assert folder.load("b").model.console.settings == LineSettings(
        speed=9600, parity="even", stopbits=2, rtscts=True, txdelay=0.002, txchunk=16
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("txchunk = 16", "txchunk has no effect without txdelay"),
        ("txdelay = -1", "write 0 or more"),
        ("txdelay = 5", "write 1 or less"),
        ("txdelay = 0.1\ntxchunk = 0", "write 1 or more"),
        ("parity = 'odd-ish'", "'none', 'even', 'odd', 'mark' or 'space'"),
        ("stopbits = 3", "1 or 2"),
    ],
)
def test_settings_that_cannot_be(folder: Folder, line: str, complaint: str) -> None:
    folder.write("b", GOOD.replace('console = "/dev/ttyUSB0"', "") + f"[console]\nurl = '/dev/ttyUSB0'\n{line}\n")
    assert complaint in folder.complaint("b")


def test_a_users_board_extends_the_shipped_one_of_the_same_name(folder: Folder) -> None:
    folder.write(
        "panda", "extends = 'panda'\nabstract = false\nconsole = '/dev/ttyUSB3'\n[power]\non = 'a'\noff = 'b'\n"
    )
    board = folder.load("panda")
    assert board.chain == ("panda",)
    assert (board.model.console.url, board.power.options.on, board.boot.method) == ("/dev/ttyUSB3", "a", "uboot")
    assert [found.path for found in folder.files.candidates("panda")] == [folder.path / "panda.toml"]


def test_circles(folder: Folder) -> None:
    folder.write("a", "extends = 'b'\n")
    path = folder.write("b", "extends = 'a'\n")
    assert folder.complaint("a") == f"{path}:1: 'b' extends 'a', which extends it in turn"
    path = folder.write("self", "# alone\nextends = 'self'\n")
    assert folder.complaint("self") == f"{path}:2: 'self' extends 'self', which extends it in turn"


def test_missing_parent(folder: Folder) -> None:
    path = folder.write("a", "extends = 'pandaa'\n")
    complaint = folder.complaint("a")
    assert complaint.startswith(f"{path}:1: there is no board 'pandaa' to extend; there are a, localhost, panda")
    assert complaint.endswith("; did you mean 'panda'?")


def test_parent_that_is_no_name(folder: Folder) -> None:
    path = folder.write("a", GOOD + "extends = 7\n")
    assert folder.complaint("a") == f"{path}:6: key 'extends': write a text in quotes, got 7"


def test_board_is_not_named_by_its_path(folder: Folder) -> None:
    with pytest.raises(ConfigurationError, match=r"; boards go by their names: put the file into .* and say 'mine'$"):
        folder.files.candidates("lab/mine.toml")


def test_unknown_board_lists_what_there_is(folder: Folder) -> None:
    for ask in (folder.files.load, folder.files.candidates):
        with pytest.raises(
            ConfigurationError, match=r"^there is no board 'quemu-arm64'; there are localhost, panda, q"
        ):
            ask("quemu-arm64")


def test_a_folder_is_no_board_file(folder: Folder) -> None:
    folder.write("b", GOOD)
    (folder.path / "c.toml").mkdir()
    assert {"b", "c"} & set(folder.files.names()) == {"b"}


def test_candidates(folder: Folder) -> None:
    for name in ("panda-02", "panda-01", "other"):
        parent = "panda" if name != "other" else "localhost"
        power = "[power]\non = 'a'\noff = 'b'\n" if parent == "panda" else ""
        folder.write(name, f"extends = '{parent}'\n{power}")
    folder.write("panda-rev2", "extends = 'panda'\nabstract = true\n")
    folder.write("panda-03", "extends = 'panda-rev2'\n")
    files = folder.files
    assert [board.name for board in files.candidates("panda")] == ["panda-01", "panda-02", "panda-03"]
    assert [board.name for board in files.candidates("panda-rev2")] == ["panda-03"]
    assert [board.name for board in files.candidates("panda-02")] == ["panda-02"]
    assert [board.name for board in files.candidates("localhost")] == ["localhost"]  # itself before its relatives


def test_device_type_that_no_lab_has_completed(folder: Folder) -> None:
    with pytest.raises(
        ConfigurationError,
        match=re.escape(
            "board 'panda' is a device type that your lab completes: "
            'write boards/panda-01.toml with extends = "panda"'
        ),
    ):
        folder.files.candidates("panda")


# -- what the watch looks for -----------------------------------------------------------------------------------

WATCH = """
[watch]
ignore = ["lockdep", "mine"]
[watch.patterns]
myip = { class = "warn", regex = 'myip \\w+: timeout' }
[watch.patterns.mine]
class = "crash"
regex = "my own BUG"
traced = false
"""


def test_board_adds_to_what_the_watch_looks_for_and_ignores_some(folder: Folder) -> None:
    folder.write("b", GOOD + WATCH.replace(', "mine"', ""))
    found = {pattern.name: pattern for pattern in folder.load("b").watch}
    assert "lockdep" not in found
    assert (found["myip"].kind, found["myip"].literal, found["myip"].traced) == ("warn", b": timeout", True)
    assert (found["mine"].kind, found["mine"].traced) == ("crash", False)
    assert found["panic"].kind == "fatal"
    folder.write("c", 'extends = "b"\n[watch]\nignore = ["mine"]')
    names = {pattern.name for pattern in folder.load("c").watch}
    assert "mine" not in names
    assert {"myip", "lockdep"} <= names


def test_pattern_of_ours_is_replaced(folder: Folder) -> None:
    text = '[watch]\nignore = ["oom"]\n[watch.patterns.oom]\nclass = "fatal"\nregex = "oom-killer"'
    folder.write("b", GOOD + text)
    (found,) = [pattern for pattern in folder.load("b").watch if pattern.name == "oom"]
    assert (found.kind, found.literal) == ("fatal", b"oom-killer")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[watch]\nignore = ["lokdep"]', "the watch has no pattern 'lokdep' to ignore; did you mean 'lockdep'?"),
        ('[watch.patterns.oom]\nclass = "warn"\nregex = "x"', "the watch has a pattern 'oom' already; give yours"),
        (
            '[watch.patterns.x]\nclass = "warn"\nregex = "("',
            "watch pattern 'x': this is not a valid regular expression",
        ),
        ('[watch.patterns.x]\nclass = "warn"\nregex = "x*"', "watch pattern 'x': this matches an empty line"),
        ('[watch.patterns.x]\nclass = "bad"\nregex = "x"', "key 'watch.patterns.x.class': write 'fatal'"),
        ('[watch.patterns.x]\nregex = "x"', "the key 'watch.patterns.x.class' is missing"),
        ("[watch]\nignored = []", "unknown key 'watch.ignored'; did you mean 'ignore'?"),
    ],
)
def test_slips_in_what_the_watch_looks_for(folder: Folder, text: str, sentence: str) -> None:
    path = folder.write("b", GOOD + text)
    assert sentence in folder.complaint("b")
    assert folder.complaint("b").startswith(f"{path}:")
