"""Finds the lines of source behind a call trace, in the vmlinux of the kernel that ran and in its modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pytest_lava.deadline import Deadline
from pytest_lava.symbols.addr2line import Addr2lineFailed, lines_at
from pytest_lava.symbols.elf import ElfError, ElfFile, Function
from pytest_lava.symbols.trace import Frame, Reference, annotated, references

__all__ = ["Booted", "Explained", "Symbolizer", "unusable"]

_ROOT = Reference("kernel_init", 0, 0, exact=True)  # its file tells where the source was when it was built
_ROOT_FILE = "/init/main.c"
_SAID = re.compile(r"Linux version (\S+) \(.*\) (#\d.*)")
_OUTLINED = re.compile(r"\.(?:cold|isra|constprop|part|llvm)\b.*")


@dataclass(frozen=True)
class Booted:
    """The kernel that ran: ``uname -r`` and ``uname -v``. Both empty if that is not known."""

    release: str = ""
    version: str = ""

    @classmethod
    def of(cls, said: str) -> Booted:
        """As it introduced itself last in the words of its console."""
        found = _SAID.findall(said)
        return cls(found[-1][0], found[-1][1].strip()) if found else cls()

    def __bool__(self) -> bool:
        return bool(self.release and self.version)

    def __str__(self) -> str:
        return f"{self.release} {self.version}"


@dataclass(frozen=True)
class Explained:
    """A trace with lines of source; empty if none was found. ``notes`` say what is missing, and why."""

    text: str = ""
    notes: tuple[str, ...] = ()


def unusable(path: Path) -> str | None:
    """Why a file cannot serve as vmlinux, and what to do; None if it can."""
    try:
        with ElfFile(path) as elf:
            if not elf.banner:
                return "is no kernel: give the file vmlinux that make left at the top of the kernel tree"
            if not elf.has_symbols:
                return "has no symbols: give the one that was not stripped"
            if not elf.has_lines:
                return "has no debug information: build the kernel with CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y"
    except ElfError as error:
        what = str(error).removeprefix(f"{path}: ")
        return f"is {what}: give the file vmlinux that make left at the top of the kernel tree"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


class Symbolizer:
    """Explains traces by the first of some ``vmlinux`` files that is the kernel that ran. What it learned it keeps."""

    def __init__(self, candidates: Sequence[Path]) -> None:
        self._candidates = tuple(candidates)
        self._known: dict[tuple[Path, Reference], tuple[Frame, ...]] = {}
        self._notes: list[str] = []

    def explain(self, text: str, booted: Booted, deadline: Deadline) -> Explained:
        """Put lines of source to what ``text`` names of the code. Raises nothing: it is an extra."""
        wanted = list(dict.fromkeys(one for line in references(text) for one in line))
        self._notes = []
        if not wanted or not self._candidates:
            return Explained()
        frames: dict[Reference, Sequence[Frame]] = {}
        with ExitStack() as files:
            try:
                if (kernel := self._kernel(booted, files)) is not None:
                    frames = self._resolve(kernel, wanted, deadline, files)
            except (Addr2lineFailed, ElfError, OSError) as error:
                self._notes.append(str(error))
        return Explained(annotated(text, frames) if frames else "", tuple(dict.fromkeys(self._notes)))

    # -- which kernel -------------------------------------------------------------------------------------------

    def _kernel(self, booted: Booted, files: ExitStack) -> ElfFile | None:
        """The one that ran: another build has the same functions elsewhere, and would tell lies."""
        others = []
        for path in self._candidates:
            try:
                elf = files.enter_context(ElfFile(path))
            except (ElfError, OSError) as error:
                self._notes.append(f"no lines of source: {error}")
                continue
            own = Booted.of(elf.banner)
            if booted and own == booted:
                return elf
            others.append(f"{path} is of {own or 'no kernel'}")
        if others and booted:
            self._notes.append(f"no lines of source: the board ran {booted}, but {'; '.join(others)}")
        elif others:
            self._notes.append("no lines of source: it is not known which kernel ran, as it did not say its version")
        return None

    # -- where --------------------------------------------------------------------------------------------------

    def _resolve(
        self, kernel: ElfFile, wanted: Sequence[Reference], deadline: Deadline, files: ExitStack
    ) -> dict[Reference, Sequence[Frame]]:
        named = dict.fromkeys(one.module for one in wanted)
        frames: dict[Reference, Sequence[Frame]] = {}
        root = self._root(kernel, [one for one in wanted if not one.module], frames, deadline)
        for module in filter(None, named):
            asked = [one for one in wanted if one.module == module]
            if (elf := self._module(kernel, asked[0], files)) is not None:
                with suppress(Addr2lineFailed):
                    self._look_up(elf, asked, frames, deadline)
        return {
            one: tuple(replace(frame, file=_below(frame.file, root)) for frame in found)
            for one, found in frames.items()
            if found
        }

    def _root(
        self, kernel: ElfFile, wanted: list[Reference], frames: dict[Reference, Sequence[Frame]], deadline: Deadline
    ) -> str:
        """Look up what is in the kernel itself, and with it the folder where its source was."""
        self._look_up(kernel, [*wanted, _ROOT], frames, deadline)
        found = frames.get(_ROOT, ()) if _ROOT in wanted else frames.pop(_ROOT, ())
        file = found[-1].file if found else ""
        return file.removesuffix(_ROOT_FILE.lstrip("/")) if file.endswith(_ROOT_FILE) else ""

    def _look_up(
        self, elf: ElfFile, wanted: Sequence[Reference], frames: dict[Reference, Sequence[Frame]], deadline: Deadline
    ) -> None:
        """The frames of each, as far as its file knows them: one process for each section with something new."""
        new: dict[str, list[tuple[Reference, int]]] = {}
        for one in wanted:
            known = self._known.get((elf.path, one))
            if known is not None:
                frames[one] = known
            elif (function := _function(elf, one)) is not None:
                section = function.section if elf.relocatable else ""
                new.setdefault(section, []).append((one, function.address + one.spot))
        for section, asked in new.items():
            answers = lines_at(elf, section, [address for _, address in asked], deadline)
            for (one, _), found in zip(asked, answers, strict=True):
                # LLVM knows no option to name a section of a module: it may have answered for another one
                strange = (
                    elf.relocatable and found and not one.before and _bare(found[-1].function) != _bare(one.symbol)
                )
                frames[one] = self._known[elf.path, one] = () if strange else tuple(found)

    # -- modules ------------------------------------------------------------------------------------------------

    def _module(self, kernel: ElfFile, one: Reference, files: ExitStack) -> ElfFile | None:
        """The file of a module, if it was built for this kernel and has debug information."""
        release = Booted.of(kernel.banner).release
        why = "it was not found beside vmlinux"
        for path in _module_files(kernel.path, release, one.module):
            try:
                elf = files.enter_context(ElfFile(path))
            except (ElfError, OSError) as error:
                why = str(error)
                continue
            if elf.release != release:
                why = f"{path} was built for {elf.release or 'no kernel'}, not for {release}"
            elif one.build_id and elf.build_id and not elf.build_id.startswith(one.build_id):
                why = f"{path} has the build id {elf.build_id}, but {one.build_id} was loaded"
            elif not elf.has_lines:
                why = f"{path} has no debug information"
            else:
                return elf
        self._notes.append(f"no lines of source of module {one.module}: {why}")
        return None


def _module_files(vmlinux: Path, release: str, module: str) -> Iterator[Path]:
    """Where a module with debug information may be: in the tree as ``make`` left it, installed beside, as Debian does.

    ``/usr/lib/debug`` has ``boot/vmlinux-RELEASE`` and ``lib/modules/RELEASE``.
    """
    folder, spelled = vmlinux.parent, re.compile(re.sub("[-_]", "[-_]", module) + r"\.(?:ko|o)")
    with suppress(OSError):
        for line in (folder / "modules.order").read_text().splitlines():
            name = PurePosixPath(line.strip())
            if spelled.fullmatch(name.name):
                for one in (name.with_suffix(".ko"), PurePosixPath(*name.parts[1:]).with_suffix(".ko")):
                    if (folder / one).is_file():
                        yield folder / one
    for root in (folder / "lib" / "modules" / release, folder.parent / "lib" / "modules" / release):
        for path in root.rglob("*.ko*") if root.is_dir() else ():
            if spelled.fullmatch(path.name.removesuffix(".debug")):
                yield path


def _function(elf: ElfFile, one: Reference) -> Function | None:
    """The function that is meant; of several with its name the one of that size, if it is one."""
    found = [function for function in elf.functions.get(one.symbol, ()) if one.offset <= one.size]
    if len(found) > 1:
        off = {function: min(abs(function.extent - one.size), abs(function.size - one.size)) for function in found}
        found = [function for function in found if off[function] == min(off.values())]
    return found[0] if len(found) == 1 else None


def _bare(function: str) -> str:
    return _OUTLINED.sub("", function)


def _below(file: str, root: str) -> str:
    """A path as the kernel's source has it."""
    plain = str(PurePosixPath(file))
    return plain.removeprefix(root) if root else plain
