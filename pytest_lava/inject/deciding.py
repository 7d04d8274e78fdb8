"""Where additions go: into an image, into the initramfs, or to the running board. Decided here and nowhere else.

1. A partition that the user named (``#partition=N``).
2. The one file system in the images that looks like a root file system: ext4 with /etc and /usr, /bin or /sbin.
3. The initramfs, if the kernel gets one and no other root (``root=``): then it is the board's root file system.
4. The only ext4, or else the only FAT, of an image.
5. The running board, by its shell, where nothing of this is there or can be edited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, InjectFailed
from pytest_lava.events import EventLog
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition, modules_tree
from pytest_lava.inject.disks import Volume, is_qcow2, volumes
from pytest_lava.inject.filesystem import NotEditable
from pytest_lava.inject.inject import Injected, inject, open_volume, raw_copy

__all__ = ["Bootable", "Outcome", "Spot", "bring_in", "choose"]

_ROOT = {"etc"}, {"usr", "bin", "sbin"}
_LIMIT = 60.0  # seconds for a look into a file system


@dataclass(frozen=True)
class Bootable:
    """What a board is given: the image's parts by name, the initramfs, kernel arguments.

    ``modules`` is a folder of kernel modules for it, which are in the initramfs already. ``partition`` is the one that
    the user named for what is added, 0 for none.
    """

    parts: Mapping[str, Path]
    initrd: Path | None = None
    append: str = ""
    modules: Path | None = None
    partition: int = 0


@dataclass(frozen=True)
class Spot:
    """Where additions go: ``volume`` of ``file``, which is a part of the image, or the initramfs (``part`` is None)."""

    file: Path
    volume: Volume
    part: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The files that a board is to be given now, and what is left for it to do when it has booted.

    ``packages`` lie in them for the board's dpkg; ``left`` are additions that wait for its shell.
    """

    files: Bootable
    packages: tuple[str, ...] = ()
    left: tuple[Addition, ...] = ()


def bring_in(
    additions: Sequence[Addition],
    files: Bootable,
    shelf: Shelf,
    events: EventLog,
    *,
    deadline: Deadline | None = None,
) -> Outcome:
    """Put additions, and the kernel's modules, where they belong.

    Errors are those of :func:`~pytest_lava.inject.inject.inject`.
    """
    with events.phase("inject"):
        plain = {
            part: raw_copy(path, shelf, deadline) if is_qcow2(path) else path for part, path in files.parts.items()
        }
        files = replace(files, parts=plain)
        try:
            spot, wanted = _planned(additions, files)
            made = inject(spot.file, spot.volume, wanted, shelf, deadline=deadline) if wanted else Injected(spot.file)
        except NotEditable as why:
            if additions:
                message = f"what goes into the image ({_named_all(additions)}) waits for the running board: {why}"
                events.emit(message, level="warning", inject="board")
            elif files.initrd is None:
                events.emit(f"the kernel's modules are nowhere on the board: {why}", level="warning", inject="")
            return Outcome(files, left=tuple(additions))
        if wanted:
            message = f"{_named_all(wanted)}: put into {spot.file.name} ({spot.volume.label})"
            events.emit(message, inject="initrd" if spot.part is None else "image", path=made.path)
        for remark in made.remarks:
            events.emit(remark, level="warning")
        if spot.part is None:
            return Outcome(replace(files, initrd=made.path), made.packages)
        return Outcome(replace(files, parts={**files.parts, spot.part: made.path}), made.packages)


def _planned(additions: Sequence[Addition], files: Bootable) -> tuple[Spot, list[Addition]]:
    """Where it goes, and all that goes there: modules into a root file system only, and not twice."""
    try:
        spot = choose(files)
    except ConfigurationError as error:
        if additions:
            raise
        raise NotEditable(str(error)) from error  # the user wanted nothing of us but a kernel with an image
    modules = files.modules
    if modules is None or spot.part is None or not _is_root(spot):
        return spot, list(additions)
    return spot, [modules_tree(modules), *additions]


def _named_all(additions: Sequence[Addition]) -> str:
    return ", ".join(addition.option for addition in additions)


def choose(files: Bootable) -> Spot:
    """The place for additions. ``NotEditable`` if there is none here, and ``ConfigurationError`` if several would do
    or the partition named is not there."""
    found, why = _found(files.parts)
    if files.partition:
        return _named(found, files)
    roots = [spot for spot in found if _is_root(spot)]
    if not roots and files.initrd is not None and not any(word.startswith("root=") for word in files.append.split()):
        return Spot(files.initrd, Volume(0, 0, 0, "cpio"))
    for candidates in (roots, _of(found, "ext4"), _of(found, "fat")):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            named = " and ".join(f"{spot.file.name}, {spot.volume.label}" for spot in candidates)
            raise ConfigurationError(
                f"what goes into the image could go into {named}: say which with --image PATH#partition=N, "
                "or give only the image with the root file system"
            )
    raise NotEditable(why)


def _found(parts: Mapping[str, Path]) -> tuple[list[Spot], str]:
    """All volumes of all parts; why there are none that can be edited."""
    found: list[Spot] = []
    why = "there is neither an image nor an initramfs"
    for part, path in parts.items():
        try:
            listed = volumes(path)
        except NotEditable as error:
            why = f"{path.name}: {error}"
            continue
        found += [Spot(path, volume, part) for volume in listed]
        why = f"{path.name} has no file system that can be edited here, but {', '.join(v.label for v in listed)}"
    return found, why


def _of(found: Sequence[Spot], kind: str) -> list[Spot]:
    return [spot for spot in found if spot.volume.kind == kind]


def _is_root(spot: Spot) -> bool:
    if spot.volume.kind != "ext4":
        return spot.volume.kind == "cpio"
    system = open_volume(spot.file, spot.volume, spot.file.name, Deadline.after(_LIMIT))
    try:
        names = set(system.listings([""])[""])
    except InjectFailed:  # damaged: it is told when it is edited
        return False
    return all(names & wanted for wanted in _ROOT)


def _named(found: Sequence[Spot], files: Bootable) -> Spot:
    fitting = [spot for spot in found if spot.volume.partition == files.partition]
    if len(fitting) == 1:
        return fitting[0]
    names = " and ".join(path.name for path in files.parts.values()) or "no image"
    there = ", ".join(spot.volume.label for spot in found) or "nothing"
    raise ConfigurationError(f"#partition={files.partition}: {names} has {there}; name one of these partitions")
