"""Every sentence that bad input gets, and what good input becomes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.plan import RunPlan
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.power.api import Forget
from pytest_lava.registry import Registry


class NobodyToGuard:
    def process(self, pid: int, *, leavings: Sequence[str] = ()) -> Forget:
        raise AssertionError("planning starts no process")

    def command(self, command: str) -> Forget:
        raise AssertionError("planning switches nothing")


class Desk:
    """A user's folder, and pytest's options."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "boards").mkdir()

    def board(self, name: str, text: str) -> None:
        (self.folder / "boards" / f"{name}.toml").write_text(dedent(text))

    def file(self, name: str, content: bytes = b"content") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def arm64_kernel(self, name: str = "Image", text: bytes = b"") -> Path:
        header = struct.pack("<IIQQQQQQ4sI", 0, 0, 0, 0x10000, 0xA, 0, 0, 0, b"ARM\x64", 0)
        return self.file(name, header + bytes(4096) + b"Linux version 6.1.0-lava (me@here) #1 SMP\n" + text)

    def plan(self, **options: object) -> RunPlan:
        asked = replace(Options(boards=("qemu-arm64",)), **options)  # type: ignore[arg-type]
        files = BoardFiles([self.folder / "boards", shipped("boards")], Registry())
        return make_plan(asked, files, self.folder / "run", NobodyToGuard())

    def complaint(self, **options: object) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.plan(**options)
        return str(caught.value)


def _path(artefact: Artefact | None) -> Path | None:
    return artefact.path if artefact else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("PYTEST_LAVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    desk.board("other-arm64", "extends = 'qemu-arm64'\n")
    return desk


def test_nothing_asked(desk: Desk) -> None:
    assert desk.complaint(boards=()) == "no board was given: add --board=NAME, for example --board=localhost"


def test_localhost_needs_nothing(desk: Desk) -> None:
    plan = desk.plan(boards=("localhost",), commands=("true",))
    (target,) = plan.targets
    assert (target.id, target.kernel, target.image) == ("localhost", None, None)
    assert (plan.bundle, plan.commands) == (desk.folder / "run" / "bundle.json", ("true",))


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        ("nosuch", "--kernel {folder}/nosuch: there is no such file; give the path of a kernel image"),
        ("boards", "--kernel {folder}/boards is a folder: give the kernel image in it, such as arch/arm64/boot/Image"),
        ("", "--kernel: give a path or a URL"),
        ("logo.png", "--kernel {folder}/logo.png is a PNG picture, not a kernel: "),
        ("Image,moduls=m", "--kernel Image,moduls=m: 'moduls=m' is not understood; write PATH[,modules=PATH]"),
        ("Image,modules", "--kernel Image,modules: 'modules' is not understood; write "),
        ("Image,dtb=nosuch.dtb", "--kernel dtb=nosuch.dtb: there is no such file"),
        ("Image,dtb=", "--kernel dtb=: this is a folder, not a file"),
        ("Image,initrd=boards", "--kernel initrd=boards: this is a folder, not a file"),
    ],
)  # fmt: skip
def test_wrong_kernels(desk: Desk, kernel: str, sentence: str) -> None:
    desk.arm64_kernel()
    desk.file("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert desk.complaint(kernels=(kernel,)).startswith(sentence.replace("{folder}", str(desk.folder)))


def test_kernel_for_another_architecture(desk: Desk) -> None:
    path = desk.arm64_kernel()
    assert desk.complaint(boards=("localhost", "qemu-x86_64"), kernels=("Image",)).startswith(
        f"--kernel {path} is a kernel for arm64, which fits no given board: localhost ("
    )


def test_kernel_that_fits_one_of_two_boards(desk: Desk) -> None:
    desk.arm64_kernel()
    plan = desk.plan(boards=("qemu-arm64", "qemu-x86_64"), kernels=("Image,initrd=Image",))
    assert [target.id for target in plan.targets] == ["qemu-arm64"]
    assert plan.remarks == (
        "kernel Image (arm64) runs only on qemu-arm64",
        "nothing runs on qemu-x86_64: no given kernel fits it",
    )


def test_kernels_of_the_same_name(desk: Desk) -> None:
    desk.arm64_kernel("good/Image")
    desk.arm64_kernel("bad/Image", b"bad")
    plan = desk.plan(kernels=("good/Image", "bad/Image", "./good/Image"), append="quiet")
    assert [target.id for target in plan.targets] == [
        "qemu-arm64-good-Image",
        "qemu-arm64-bad-Image",
        "qemu-arm64-good-Image-2",
    ]
    kernels = [target.kernel for target in plan.targets]
    assert all(kernel and kernel.append == "quiet" and kernel.given for kernel in kernels)
    assert plan.targets[0].kernel != plan.targets[1].kernel


def test_initrd_and_dtb_go_with_one_kernel(desk: Desk) -> None:
    desk.arm64_kernel()
    desk.arm64_kernel("Image2", b"2")
    initrd, dtb = desk.file("initrd"), desk.file("board.dtb")
    (target,) = desk.plan(kernels=("Image",), initrd="initrd", dtb="board.dtb").targets
    assert target.kernel
    assert (_path(target.kernel.initrd), _path(target.kernel.dtb)) == (initrd, dtb)
    assert desk.complaint(kernels=("Image", "Image2"), initrd="initrd") == (
        "--initrd, --dtb and --modules go with one kernel; "
        "write --kernel PATH,initrd=PATH,dtb=PATH,modules=PATH for several"
    )
    assert desk.complaint(kernels=("Image",), initrd="nosuch") == "--initrd nosuch: there is no such file"


def test_default_kernel_that_is_not_there(desk: Desk) -> None:
    assert desk.complaint() == (
        f"board 'qemu-arm64' has no kernel to boot, {desk.folder}/cache/debian-arm64/vmlinuz is not there: "
        "run `pytest-lava fetch arm64`, or give --kernel"
    )


def test_default_kernel_with_files_of_the_user(desk: Desk) -> None:
    """A relative path is the user's: it starts in the current folder, not in that of the board file."""
    desk.arm64_kernel("cache/debian-arm64/vmlinuz")
    older, newer = desk.file("cache/debian-arm64/initrd-a.img"), desk.file("cache/debian-arm64/initrd-b.img", b"b")
    (target,) = desk.plan().targets
    assert target.kernel
    assert (target.kernel.given, _path(target.kernel.initrd)) == (False, newer)
    assert older.exists()
    mine = desk.file("mine.img")
    (target,) = desk.plan(initrd="mine.img", append="debug").targets
    assert target.kernel
    assert (_path(target.kernel.initrd), target.kernel.append) == (mine, "debug")


def test_kernel_options_for_a_board_that_boots_its_own(desk: Desk) -> None:
    desk.arm64_kernel()
    desk.file("initrd")
    assert desk.complaint(boards=("localhost",), append="quiet", initrd="initrd") == (
        "board 'localhost' boots a kernel of its own, which takes no --initrd or --append: add --kernel PATH, or leave "
        "that out"
    )
    desk.board("fixed", "extends = 'localhost'\narch = 'arm64'\n")
    assert desk.complaint(boards=("fixed",), kernels=("Image",)) == (
        "board 'fixed' cannot take a kernel (deploy = 'none'): leave out --kernel"
    )
    assert desk.complaint(boards=("fixed",), images=("initrd",)) == (
        "board 'fixed' cannot take an image (deploy = 'none'): leave out --image"
    )


def test_images(desk: Desk) -> None:
    desk.arm64_kernel()
    for name in ("root.img", "data.img", "a=b.img"):
        desk.file(name, name.encode())
    two = desk.plan(kernels=("Image",), images=("root.img", "data.img"))
    assert [target.id for target in two.targets] == ["qemu-arm64-root.img", "qemu-arm64-data.img"]
    (named,) = desk.plan(kernels=("Image",), images=("root=root.img", "data=data.img")).targets
    assert named.id == "qemu-arm64"
    assert named.image
    assert (named.image.name, list(named.image.parts)) == ("root.img+data.img", ["root", "data"])
    (mixed,) = desk.plan(kernels=("Image",), images=("root.img", "data=data.img")).targets
    assert mixed.image
    assert list(mixed.image.parts) == ["", "data"]
    (odd,) = desk.plan(kernels=("Image",), images=("a=b.img",)).targets
    assert odd.image
    assert _path(odd.image.parts[""]) == desk.folder / "a=b.img"


def test_the_image_of_a_board(desk: Desk) -> None:
    """The newest that its file names, unless the user gives one; nobody gave it, so nobody tests it."""
    desk.board("rooted", "extends = 'qemu-arm64'\n[defaults]\nimage = '{cache}/root-*.img'\n")
    desk.arm64_kernel()
    assert desk.complaint(boards=("rooted",), kernels=("Image",)) == (
        f"board 'rooted' has no image, {desk.folder}/cache/root-*.img is not there: run `pytest-lava fetch arm64`, or "
        "give --image"
    )
    own, mine = desk.file("cache/root-1.img"), desk.file("mine.img", b"mine")
    (target,) = desk.plan(boards=("rooted",), kernels=("Image",)).targets
    assert target.image
    assert (target.id, _path(target.image.parts[""]), target.image.given) == ("rooted", own, False)
    (target,) = desk.plan(boards=("rooted",), kernels=("Image",), cache="other").targets
    assert target.image
    assert _path(target.image.parts[""]) == own  # the folder of --lava-cache has none
    other = desk.file("other/root-0.img")
    (target,) = desk.plan(boards=("rooted",), kernels=("Image",), cache="other").targets
    assert target.image
    assert _path(target.image.parts[""]) == other
    (target,) = desk.plan(boards=("rooted",), kernels=("Image",), images=("mine.img",)).targets
    assert target.image
    assert (_path(target.image.parts[""]), target.image.given) == (mine, True)


@pytest.mark.parametrize(
    ("images", "sentences"),
    [
        (("nosuch.img",), ["--image nosuch.img: there is no such file"]),
        (("boards",), ["--image boards: this is a folder, not a file"]),
        (("root=nosuch", "data=nosuch2"), ["--image root=nosuch: there is no such", "--image data=nosuch2: there "]),
        (("root=i", "root=i"), ["--image root= was given twice: name each part once"]),
        (("i", "i", "data=i"), ["--image: several unnamed images cannot be combined with named parts"]),
    ],
)  # fmt: skip
def test_wrong_images(desk: Desk, images: tuple[str, ...], sentences: list[str]) -> None:
    desk.file("i")
    complaints = desk.complaint(images=images).splitlines()
    assert [any(said.startswith(sentence) for said in complaints) for sentence in sentences] == [True] * len(sentences)


def test_all_mistakes_together(desk: Desk) -> None:
    complaints = desk.complaint(
        boards=("nosuch", "qemu-arm64"), kernels=("k1", "k2"), images=("i1", "x=i2"), initrd="no"
    ).splitlines()
    for beginning in ("there is no board 'nosuch'", f"--kernel {desk.folder}/k1", f"--kernel {desk.folder}/k2",
                      "--initrd no: ", "--initrd, --dtb and", "--image i1: ", "--image x=i2: "):  # fmt: skip
        assert sum(said.startswith(beginning) for said in complaints) == 1, (beginning, complaints)


def test_board_given_twice_counts_once(desk: Desk) -> None:
    assert len(desk.plan(boards=("localhost", "localhost")).targets) == 1


def test_emulator_that_is_not_installed(desk: Desk) -> None:
    desk.board("b", "extends = 'qemu-arm64'\n[power]\nbinary = 'qemu-system-nosuch'\n")
    assert desk.complaint(boards=("b",)).startswith(
        "QEMU is not installed: qemu-system-nosuch was not found; on Debian"
    )


def test_power_command_that_is_no_command(desk: Desk) -> None:
    desk.board("b", "extends = 'panda'\nconsole = '/dev/null'\n[power]\non = 'if'\noff = 'true'\n")
    assert desk.complaint(boards=("b",)).startswith("power.on of board b is no valid shell command: `if`: ")
