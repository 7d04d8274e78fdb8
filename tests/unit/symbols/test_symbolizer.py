"""Lines of source behind a trace, from real ELF files: the right kernel, its modules, other architectures."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from support.elves import BANNER, RELEASE, VERSION, assembled, compiled_vmlinux

from pytest_lava.deadline import Deadline
from pytest_lava.symbols.elf import ElfError, ElfFile
from pytest_lava.symbols.symbolizer import Booted, Explained, Symbolizer, unusable

BOOTED = Booted(RELEASE, VERSION)


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_vmlinux(tmp_path_factory.mktemp("kernel"))


def explain(vmlinux: Path, text: str, booted: Booted = BOOTED, seconds: float = 60) -> Explained:
    return Symbolizer([vmlinux]).explain(text, booted, Deadline.after(seconds))


def extents(vmlinux: Path, name: str) -> tuple[int, int]:
    """Bytes of a function, and to the next one."""
    with ElfFile(vmlinux) as elf:
        (one,) = elf.functions[name]
    return one.size, one.extent


def test_a_trace_gets_its_lines(vmlinux: Path) -> None:
    size, extent = extents(vmlinux, "kernel_init")  # its call returns to three instructions of eight bytes
    crash = sizes(vmlinux)[0]
    trace = (
        f"[    1.000000] RIP: 0010:sysrq_handle_crash+0x0/{crash:#x}\n"
        "[    1.000001] Call Trace:\n"
        f"[    1.000002]  sysrq_handle_crash+0x0/{crash:#x}\n"
        f"[    1.000003]  ? kernel_init+{size - 8:#x}/{extent:#x}\n"
        "[    1.000004]  not_there+0x1/0x2\n"
    )
    found = explain(vmlinux, trace)
    assert found.notes == ()
    lines = found.text.splitlines()
    assert lines[0].endswith("(drivers/tty/sysrq.h:5)")  # the inlined one, relative to the top of the source
    assert lines[1].strip() == "crash inlined into sysrq_handle_crash (drivers/tty/sysrq.c:6)"
    assert lines[5].endswith("(init/main.c:8)")
    assert lines[6] == "[    1.000004]  not_there+0x1/0x2"


def sizes(vmlinux: Path) -> list[int]:
    """Of the two functions named sysrq_handle_crash: that of drivers/tty, and that of lib."""
    with ElfFile(vmlinux) as elf:
        found = sorted(elf.functions["sysrq_handle_crash"], key=lambda one: one.address)
    assert len(found) == 2
    return [one.extent for one in found]


def test_of_two_functions_of_a_name_the_size_tells_which(vmlinux: Path) -> None:
    first, second = sizes(vmlinux)
    assert first != second
    assert "(drivers/tty/sysrq.h:" in explain(vmlinux, f"pc : sysrq_handle_crash+0x0/{first:#x}").text
    assert "(lib/other.c:" in explain(vmlinux, f"pc : sysrq_handle_crash+0x0/{second:#x}").text


def test_a_kernel_that_did_not_run_is_said_and_not_used(vmlinux: Path) -> None:
    found = explain(vmlinux, "pc : kernel_init+0x0/0x10", Booted(RELEASE, "#8 SMP Tue Jan  6 10:00:00 UTC 2026"))
    assert found.text == ""
    (note,) = found.notes
    assert note == (
        f"no lines of source: the board ran {RELEASE} #8 SMP Tue Jan  6 10:00:00 UTC 2026, "
        f"but {vmlinux} is of {RELEASE} {VERSION}"
    )
    (note,) = explain(vmlinux, "pc : kernel_init+0x0/0x10", Booted()).notes
    assert "it is not known which kernel ran" in note


def test_of_several_the_kernel_that_ran_is_taken(vmlinux: Path, tmp_path: Path) -> None:
    other = compiled_vmlinux(tmp_path, banner=BANNER.replace("#7", "#8"))
    both = Symbolizer([other, tmp_path / "gone", vmlinux])
    assert "(init/main.c:" in both.explain("pc : kernel_init+0x0/0x10", BOOTED, Deadline.after(60)).text


def test_nothing_to_explain_costs_nothing(tmp_path: Path) -> None:
    assert explain(tmp_path / "missing", "all is well") == Explained()
    assert Symbolizer([]).explain("pc : kernel_init+0x0/0x10", BOOTED, Deadline.after(1)) == Explained()


def test_the_kernel_tells_itself_who_it_is() -> None:
    said = f"[    0.000000] {BANNER.replace('#7', '#6')}\r\nmore\r\n[    0.000000] {BANNER}\r\n"
    assert Booted.of(said) == BOOTED
    assert not Booted.of("Linux version 6.1")


@pytest.mark.parametrize(
    ("flags", "why"),
    [(("-s",), "has no symbols"), (("-g0",), "has no debug information"), (("-g", "-s"), "has no symbols")],
)
def test_files_that_cannot_serve(tmp_path: Path, flags: tuple[str, ...], why: str) -> None:
    path = compiled_vmlinux(tmp_path, *flags)
    assert str(unusable(path)).startswith(why)


def test_other_files_that_cannot_serve(tmp_path: Path, vmlinux: Path) -> None:
    assert unusable(vmlinux) is None
    assert "No such file" in str(unusable(tmp_path / "missing"))
    (tmp_path / "text").write_text("hello")
    assert str(unusable(tmp_path / "text")).startswith("is no ELF file: give the file vmlinux")
    (tmp_path / "empty").touch()
    assert "an empty file" in str(unusable(tmp_path / "empty"))
    assert str(unusable(compiled_vmlinux(tmp_path, banner="Hello"))).startswith("is no kernel")


def test_damage_is_told_and_not_raised(vmlinux: Path, tmp_path: Path) -> None:
    whole = vmlinux.read_bytes()
    for number in range(40):
        cut = tmp_path / f"cut{number}"
        cut.write_bytes(whole[: len(whole) * (number + 1) // 41])
        found = explain(cut, "pc : kernel_init+0x0/0x10")
        assert found.text or found.notes, number
    with pytest.raises(ElfError, match="a damaged ELF file"):
        ElfFile(tmp_path / "cut0")


def test_the_deadline_holds(vmlinux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "x86_64-linux-gnu-addr2line"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (note,) = explain(vmlinux, "pc : kernel_init+0x0/0x10", seconds=0.2).notes
    assert "did not read" in note


def test_without_a_tool_that_is_said(vmlinux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert explain(vmlinux, "pc : kernel_init+0x0/0x10").notes == (
        "there is no addr2line on this machine: install binutils or llvm",
    )


def test_what_was_found_once_needs_no_process(vmlinux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Symbolizer([vmlinux])
    first = one.explain("pc : kernel_init+0x0/0x10", BOOTED, Deadline.after(60))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert one.explain("pc : kernel_init+0x0/0x10", BOOTED, Deadline.after(60)) == first
    assert "(init/main.c:" in first.text


# -- modules, and other architectures ---------------------------------------------------------------------------------

MODULE = """
    .section .modinfo,"a"
    .asciz "vermagic={release} SMP mod_unload"
    .section .init.text,"ax"
    .globl init_module
    .type init_module,{function}
init_module:
    {nop}
    {nop}
    .size init_module, .-init_module
    .text
    .globl first
    .type first,{function}
first:
    {nop}
    .size first, .-first
    .globl lkdtm_bug
    .type lkdtm_bug,{function}
lkdtm_bug:
    {nop}
    {nop}
    .size lkdtm_bug, .-lkdtm_bug
"""


LKDTM_BUG, INIT = (f"my-mod.s:{MODULE.splitlines().index(label) + 2}" for label in ("lkdtm_bug:", "init_module:"))


def module(folder: Path, triple: str, release: str = RELEASE, thumb: str = "") -> Path:
    path = folder / "drivers" / "my-mod.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "modules.order").write_text("kernel/fs/ext4/ext4.ko\ndrivers/my-mod.o\n")
    text = thumb + MODULE.format(release=release, nop="nop", function="%function")
    return assembled(path, triple, text)


@pytest.fixture
def tree(vmlinux: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "vmlinux"
    copy.write_bytes(vmlinux.read_bytes())
    return copy


def test_modules_are_found_beside_vmlinux(tree: Path) -> None:
    module(tree.parent, "x86_64-linux-gnu")
    found = explain(tree, " lkdtm_bug+0x1/0x2 [my_mod]\n init_module+0x1/0x2 [my_mod]\n gone+0x1/0x2 [other]\n")
    first, second, third = found.text.splitlines()
    assert first.endswith(f"{LKDTM_BUG})")
    assert second.endswith(f"{INIT})")  # of another section, which begins at 0 as well
    assert third == " gone+0x1/0x2 [other]"
    assert found.notes == ("no lines of source of module other: it was not found beside vmlinux",)


def test_modules_where_a_distribution_puts_them(tree: Path) -> None:
    built = module(tree.parent / "build", "x86_64-linux-gnu")
    boot = tree.parent / "boot" / f"vmlinux-{RELEASE}"
    installed = tree.parent / "lib" / "modules" / RELEASE / "kernel" / "my-mod.ko"
    for path, source in ((boot, tree), (installed, built)):
        path.parent.mkdir(parents=True)
        source.rename(path)
    assert f"{LKDTM_BUG})" in explain(boot, " lkdtm_bug+0x1/0x2 [my_mod]").text


def test_a_module_of_another_kernel_is_not_used(tree: Path) -> None:
    path = module(tree.parent, "x86_64-linux-gnu", release="6.2.0-other")
    found = explain(tree, " lkdtm_bug+0x1/0x2 [my_mod]")
    assert found.text == ""
    assert found.notes == (f"no lines of source of module my_mod: {path} was built for 6.2.0-other, not for {RELEASE}",)


def test_a_module_of_another_build_is_not_used(tree: Path) -> None:
    path = module(tree.parent, "x86_64-linux-gnu")
    linked = path.with_suffix(".linked")
    subprocess.run(["ld", "-r", "--build-id", "-o", linked, path], check=True)
    linked.rename(path)
    with ElfFile(path) as elf:
        own = elf.build_id
    assert len(own) == 40
    assert f"{LKDTM_BUG})" in explain(tree, f" lkdtm_bug+0x1/0x2 [my_mod {own}]").text
    (note,) = explain(tree, f" lkdtm_bug+0x1/0x2 [my_mod {'0' * 40}]").notes
    assert note.endswith(f"has the build id {own}, but {'0' * 40} was loaded")


FOREIGN = f"""
    .section .rodata,"a"
    .asciz "{BANNER.replace('"', "")}\\n"
"""


@pytest.mark.parametrize(
    ("triple", "offset", "mode"),
    [("aarch64-linux-gnu", 4, ""), ("armv7-linux-gnueabihf", 4, ""), ("thumbv7-linux-gnueabihf", 2, ".thumb\n"),
("powerpc64le-linux-gnu", 4, ""), ("mips-linux-gnu", 4, "")],
)  # fmt: skip
def test_kernels_of_other_architectures(tmp_path: Path, triple: str, offset: int, mode: str) -> None:
    text = mode + FOREIGN + MODULE.format(release=RELEASE, nop="nop", function="%function")
    path = assembled(tmp_path / "vmlinux", triple, text)
    line = text.splitlines().index("lkdtm_bug:") + 3
    found = explain(path, f"pc : lkdtm_bug+{offset:#x}/{2 * offset:#x}")
    assert found.text.endswith(f"vmlinux.s:{line})"), dataclasses.astuple(found)
