"""Brings what a target asks for to this machine before its board is leased: fetched, unpacked, checked."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lava.config.boards import BoardConfig
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, FetchFailed
from pytest_lava.events import EventLog
from pytest_lava.images.artefact import Artefact
from pytest_lava.images.fetch import Announce, Fetched, Fetcher
from pytest_lava.images.housekeeping import Room, parse_size
from pytest_lava.images.initrd import with_modules
from pytest_lava.images.kernel import KernelFile, inspect
from pytest_lava.images.kernel_parts import KernelParts, Workshop, content_of
from pytest_lava.images.module_tree import modules_of, releases
from pytest_lava.images.parallel import Parallel, await_end
from pytest_lava.images.plausible import refuse_page, refuse_strange_tree
from pytest_lava.images.shelf import Shelf
from pytest_lava.images.tries import TellFailedTry
from pytest_lava.inject.additions import Addition, check
from pytest_lava.inject.memory import check_memory
from pytest_lava.plan import CachePlan, ImagePlan, KernelPlan, KernelRequest, Prepared, Target

if TYPE_CHECKING:
    from pytest_lava.inject.added import Added

__all__ = ["Preparation"]


class Preparation:
    """Prepares the targets of a run, of which all that one board serves are fetched before it is leased.

    Several downloads run at once. What was prepared stays where it is until :meth:`close`.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        cache: CachePlan,
        events: EventLog,
        additions: Sequence[Addition] = (),
        failed: TellFailedTry = lambda one: None,
        *,
        announce: Announce | None = None,
    ) -> None:
        self._targets = targets
        self._additions = additions
        self._events = events
        room = Room(cache.folder, cache.limit, lambda gone: events.emit(f"removed from the cache: {gone.name}"))
        self._shelf = Shelf(cache.folder, room)
        boards = [board for target in targets for board in target.request.candidates]
        self._fetcher = Fetcher(
            cache.folder,
            self._shelf.store,
            offline=cache.offline,
            report=events.emit,
            failed=failed,
            tries=max((board.model.retry.fetch for board in boards), default=1),
            room=room,
            announce=announce or (lambda what, size: None),
        )
        self._parallel = Parallel()
        self._jobs: dict[object, Future[Any]] = {}
        self._done: dict[str, Prepared] = {}

    @property
    def shelf(self) -> Shelf:
        """Where more can be made of what was prepared."""
        return self._shelf

    def known(self, target: Target) -> Prepared | None:
        """What :meth:`of` returned for this target."""
        return self._done.get(target.id)

    def of(self, target: Target) -> Prepared:
        """All that ``target`` asks for.

        ``FetchFailed``, ``NetworkError``, ``ConfigurationError`` or ``InfrastructureError``; all concern this target
        alone.
        """
        if target.id not in self._done:
            for other in self._targets:
                if other.request is target.request:
                    self._start(other)
            self._start(target)
            if self._slow(target):
                with self._events.phase("fetch"):
                    self._wait(target)
            else:
                self._wait(target)
            done = self._with_additions(target, self._kernel(target), self._image(target))
            self._check_memory(target, done.kernel)
            self._done[target.id] = replace(done, added=self._added(target))
        return self._done[target.id]

    def fetch(self, text: str, limit: float) -> Path:
        """A file that a test of the run names, and no target. ``limit`` is in seconds; raises what :meth:`of` does."""
        return self._fetcher.fetch(Artefact.parse(text), unpack=False, deadline=Deadline.after(limit)).path

    def close(self) -> None:
        """Nothing of it is in use any more."""
        self._shelf.close()

    # -- jobs ---------------------------------------------------------------------------------------------------

    def _start(self, target: Target) -> None:
        deadline = self._deadline(target)
        kernel = target.kernel
        workshop = Workshop(self._fetcher, self._shelf, deadline, bool(kernel and kernel.keep_debug))
        if kernel and kernel.source not in self._jobs:
            source = kernel.source
            self._jobs[source] = self._run(kernel.name, lambda: source.parts(workshop))
        for wanted in self._files(target):
            if wanted not in self._jobs:
                self._jobs[wanted] = self._run(wanted[0].name, self._fetching(*wanted, deadline))

    def _fetching(self, artefact: Artefact, unpack: bool, deadline: Deadline) -> Callable[[], Fetched]:
        return lambda: self._fetcher.fetch(artefact, unpack=unpack, deadline=deadline)

    def _run(self, name: str, job: Callable[[], Any]) -> Future[Any]:
        return self._parallel.start(f"prepare {name}", job)

    @staticmethod
    def _deadline(target: Target) -> Deadline:
        """For one job; targets that come later are put together hours after they were fetched."""
        return Deadline.after(target.request.candidates[0].model.timeouts.fetch)

    def _slow(self, target: Target) -> bool:
        """Whether more is to be done than to look at files of this machine."""
        kernel = target.kernel
        if kernel and not kernel.source.simple:
            return True
        return any(artefact.url or artefact.checksum or artefact.member for artefact, _ in self._files(target))

    def _wait(self, target: Target) -> None:
        """For all that the board's targets want: it is leased afterwards. Only what this target wants raises."""
        for other in self._targets:
            if other.request is target.request:
                for future in self._futures(other):
                    await_end(future)
        for future in self._futures(target):
            future.result()

    def _futures(self, target: Target) -> Iterator[Future[Any]]:
        if target.kernel:
            yield self._jobs[target.kernel.source]
        yield from (self._jobs[wanted] for wanted in self._files(target))

    def _files(self, target: Target) -> Iterator[tuple[Artefact, bool]]:
        """What to fetch beside the kernel, and whether to unpack it."""
        yield from _files(target)
        for addition in self._wanted(target):
            if addition.kind != "tree":
                yield addition.artefact, False

    def _wanted(self, target: Target) -> tuple[Addition, ...]:
        """What goes into its image: that of the run, and then its own."""
        return (*self._additions, *target.additions)

    def _fetched(self, artefact: Artefact, *, unpack: bool) -> Fetched:
        found: Fetched = self._jobs[artefact, unpack].result()
        return found

    # -- what they gave -----------------------------------------------------------------------------------------

    def _kernel(self, target: Target) -> KernelPlan | None:
        kernel = target.kernel
        if kernel is None:
            return None
        parts: KernelParts = self._jobs[kernel.source].result()
        file = self._checked(target, kernel, parts)
        dtb = self._fetched(kernel.dtb, unpack=False).path if kernel.dtb else None
        if dtb:
            with content_of(f"dtb={kernel.dtb}"):
                refuse_strange_tree(dtb, f"dtb={kernel.dtb}")
        if kernel.dtb_name and parts.dtbs:
            dtb = _device_tree(kernel, parts.dtbs)
        elif kernel.dtb_name and dtb is None and kernel.source.simple is False:
            raise FetchFailed(
                f"{kernel.label} comes without device trees, so there is no {kernel.dtb_name}: give --dtb"
            )
        initrd = self._fetched(kernel.initrd, unpack=False).path if kernel.initrd else None
        if initrd:
            with content_of(f"initrd={kernel.initrd}"):
                refuse_page(initrd, f"initrd={kernel.initrd}")
        modules = self._modules(target, kernel, parts, file)
        if modules and initrd:
            with self._events.phase("inject"):
                initrd = with_modules(initrd, modules, self._shelf, self._deadline(target))
        return KernelPlan(
            kernel.name, file, modules, dtb, initrd, kernel.append, given=kernel.given, origin=parts.origin
        )

    def _checked(self, target: Target, kernel: KernelRequest, parts: KernelParts) -> KernelFile:
        """The kernel as its header tells, which has to fit the board."""
        try:
            file = inspect(parts.kernel, self._shelf.folder, option="")
        except ConfigurationError as error:
            raise FetchFailed(str(error).replace(f" {parts.kernel}", kernel.label, 1)) from error
        board = target.request.candidates[0]
        if file.arch != target.request.arch:
            raise FetchFailed(
                f"{kernel.label} is a kernel for {file.arch}, but board {board.name!r} is {target.request.arch}: "
                "give one that fits"
            )
        kinds = board.model.kernels
        if kinds and file.kind not in kinds:
            raise FetchFailed(
                f"{kernel.label} is a {file.kind}, which board {board.name!r} does not boot: give {' or '.join(kinds)}"
            )
        if parts.release and file.release and parts.release != file.release:
            raise FetchFailed(
                f"{kernel.label} should be {parts.release}, but the kernel in it is {file.release}: build it again"
            )
        return replace(file, release=file.release or parts.release)

    def _modules(self, target: Target, kernel: KernelRequest, parts: KernelParts, file: KernelFile) -> Path | None:
        if kernel.bare:
            return None
        modules = parts.modules
        if kernel.modules is not None:
            path = kernel.modules.path
            if path is None or not path.is_dir():
                fetched = self._fetched(kernel.modules, unpack=False)
                path, sha256 = fetched.path, fetched.sha256
            else:
                sha256 = ""
            with content_of(f"modules={kernel.modules}"):
                workshop = Workshop(self._fetcher, self._shelf, self._deadline(target), kernel.keep_debug)
                modules = modules_of(path, sha256, workshop)
        if modules and file.release and file.release not in releases(modules):
            raise FetchFailed(
                f"{kernel.label} is {file.release}, but its modules are for {', '.join(releases(modules))}: "
                "give those that were built with it, or modules=none"
            )
        return modules

    def _image(self, target: Target) -> ImagePlan | None:
        image = target.image
        if image is None:
            return None
        found = {part: self._fetched(artefact, unpack=True) for part, artefact in image.parts.items()}
        for part, one in found.items():
            named = f"--image {f'{part}=' if part else ''}{one.artefact}"
            with content_of(named):
                refuse_page(one.path, named)
        sums = [one.sha256 for one in found.values()]
        sha256 = sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
        return ImagePlan(image.name, {part: one.path for part, one in found.items()}, sha256, image.given)

    def _with_additions(self, target: Target, kernel: KernelPlan | None, image: ImagePlan | None) -> Prepared:
        """What is to go into an image goes there, as far as that can be edited."""
        parts, initrd = image.parts if image else {}, kernel.initrd if kernel else None
        modules = kernel.modules if kernel else None
        if not self._wanted(target) and not (modules and parts):
            return Prepared(kernel, image)
        additions = self._located(target)
        for addition in additions:
            if addition.artefact.url or addition.artefact.member:  # what is here was checked before
                with content_of(addition.option):
                    check(addition, target.request.arch, self._shelf.folder)
        asked = target.image.parts.values() if target.image else ()
        partition = next((artefact.partition for artefact in asked if artefact.partition), 0)
        from pytest_lava.inject.deciding import Bootable, bring_in  # many modules, and most runs put nothing in

        files = Bootable(parts, initrd, kernel.append if kernel else "", modules, partition)
        done = bring_in(additions, files, self._shelf, self._events, deadline=self._deadline(target))
        if kernel:
            kernel = replace(kernel, initrd=done.files.initrd)
        if image:
            image = replace(image, parts=done.files.parts)
        return Prepared(kernel, image, done.packages, done.left)

    def _check_memory(self, target: Target, kernel: KernelPlan | None) -> None:
        """That the kernel can unpack its initial RAM file system there."""
        if kernel and kernel.initrd and target.kernel:
            memory = max(map(_memory, target.request.candidates))
            check_memory(kernel.initrd, memory, self._shelf.folder, f"the initrd of {target.kernel.label}")

    def _located(self, target: Target) -> list[Addition]:
        return [
            one if one.kind == "tree" else one.located(self._fetched(one.artefact, unpack=False).path)
            for one in self._wanted(target)
        ]

    def _added(self, target: Target) -> tuple[Added, ...]:
        """What results tell of it: what was put in by options, and modules that were given by themselves."""
        modules = target.kernel.modules if target.kernel else None
        if not (self._wanted(target) or modules):
            return ()
        from pytest_lava.inject.added import added, added_modules

        cache = self._shelf.folder
        found = [added(addition, cache) for addition in self._located(target)]
        if modules:
            folder = modules.path if modules.path and modules.path.is_dir() else None
            source = folder or self._fetched(modules, unpack=False).path
            found.insert(0, added_modules(modules.name, f"--modules {modules}", source, cache))
        return tuple(found)


def _memory(board: BoardConfig) -> int:
    """Bytes that are installed, as far as its file tells; else 0. QEMU's own unit is the megabyte."""
    text = str(board.model.hardware.memory or getattr(board.power.options, "memory", ""))
    with suppress(ConfigurationError):
        return parse_size(f"{text}M" if text.isdecimal() else text, board.name)
    return 0


def _files(target: Target) -> Iterator[tuple[Artefact, bool]]:
    """All but the kernel: what to fetch, and whether to unpack it."""
    kernel = target.kernel
    for artefact in (kernel.initrd, kernel.dtb) if kernel else ():
        if artefact:
            yield artefact, False
    if kernel and (modules := kernel.modules) and not (modules.path and modules.path.is_dir()):
        yield modules, False
    for artefact in target.image.parts.values() if target.image else ():
        yield artefact, True


def _device_tree(kernel: KernelRequest, folder: Path) -> Path:
    """The one with this name, wherever below the folder; vendors have folders of their own on some architectures."""
    found = sorted(path for path in folder.rglob(Path(kernel.dtb_name).name) if path.is_file())
    exact = [path for path in found if path.relative_to(folder).as_posix() == kernel.dtb_name] or found
    if len(exact) == 1:
        return exact[0]
    if exact:
        names = ", ".join(path.relative_to(folder).as_posix() for path in exact[:4])
        raise FetchFailed(f"{kernel.label} has several {kernel.dtb_name}: name one of {names}")
    names_there = {path.name for path in folder.rglob("*.dtb*")}
    near = difflib.get_close_matches(Path(kernel.dtb_name).name, names_there, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has {len(names_there)} others"
    raise FetchFailed(f"{kernel.label} has no device tree {kernel.dtb_name}; {hint}")
