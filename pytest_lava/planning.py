"""From options and board files to a RunPlan; every mistake that can be seen without a board, told at once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pytest_lava.config.boards import BoardConfig, BoardFiles
from pytest_lava.errors import ConfigurationError
from pytest_lava.events import EventLog
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.kernel import inspect
from pytest_lava.images.memo import sha256_of
from pytest_lava.plan import BoardRequest, ImagePlan, KernelPlan, RunPlan, Target
from pytest_lava.power.api import Guard, PowerContext
from pytest_lava.transfer.api import Mode

__all__ = ["BUNDLE_FORMATS", "Options", "make_plan"]

T = TypeVar("T")

BUNDLE_FORMATS = ("1.3", "1.5", "1.6", "1.7")
_KERNEL_KEYS = ("modules", "dtb", "initrd")


@dataclass(frozen=True)
class Options:
    """What the user asked for, as typed."""

    boards: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    initrd: str | None = None
    dtb: str | None = None
    append: str = ""
    bundle: str | None = None
    bundle_format: str = "1.5"
    board_wait: float = 0.0
    command_timeout: float = 600.0
    transfer: Mode = "auto"


def make_plan(options: Options, files: BoardFiles, run_folder: Path, guard: Guard) -> RunPlan:
    """Validate everything and put it together. ``ConfigurationError`` has one sentence for each mistake."""
    mistakes = _Mistakes()
    if not options.boards:
        mistakes.add("no board was given: add --board=NAME, for example --board=localhost")
    if not all(command.strip() for command in options.commands):
        mistakes.add("--command was given without a command: write --command 'uname -a'")
    requests = [
        BoardRequest(name, tuple(found))
        for name in dict.fromkeys(options.boards)
        if (found := mistakes.collect(files.candidates, name))
    ]
    kernels = [kernel for text in options.kernels if (kernel := mistakes.collect(_kernel, text))]
    kernels = [replace(kernel, append=options.append) for kernel in _distinct(kernels)]
    given = {key: mistakes.collect(_existing, path, f"--{key} ") for key, path in _files(options)}
    if given and len(options.kernels) > 1:
        mistakes.add("--initrd and --dtb go with one --kernel; write --kernel PATH,initrd=PATH,dtb=PATH for several")
    elif kernels and given:
        only = kernels[0]
        kernels = [replace(only, initrd=given.get("initrd") or only.initrd, dtb=given.get("dtb") or only.dtb)]
    images = _images(options.images, mistakes)
    for request in requests:
        for board in request.candidates:
            mistakes.collect(_check_power, board, guard)
            mistakes.collect(_check_transfer, board, options.transfer)
    mistakes.raise_all()
    targets, remarks = _targets(requests, kernels, images, options, mistakes)
    mistakes.raise_all()
    return RunPlan(
        targets=tuple(targets),
        commands=options.commands,
        run_folder=run_folder,
        bundle=Path(options.bundle).absolute() if options.bundle else run_folder / "bundle.json",
        bundle_format=options.bundle_format,
        board_wait=options.board_wait,
        command_timeout=options.command_timeout,
        transfer=options.transfer,
        remarks=tuple(remarks),
    )


class _Mistakes:
    """Collects sentences, so that the user sees all of them at once."""

    def __init__(self) -> None:
        self._sentences: dict[str, None] = {}

    def add(self, sentence: str) -> None:
        self._sentences[sentence] = None

    def collect(self, step: Callable[..., T], *arguments: object) -> T | None:
        """What ``step`` gives, or ``None`` and one sentence more."""
        try:
            return step(*arguments)
        except ConfigurationError as error:
            self.add(str(error))
            return None

    def raise_all(self) -> None:
        if self._sentences:
            raise ConfigurationError("\n".join(self._sentences))


def _targets(
    requests: Sequence[BoardRequest],
    kernels: Sequence[KernelPlan],
    images: Sequence[ImagePlan],
    options: Options,
    mistakes: _Mistakes,
) -> tuple[list[Target], list[str]]:
    remarks: list[str] = []
    arches = ", ".join(f"{request.name} ({request.arch})" for request in requests)
    for kernel in kernels:
        fitting = [request.name for request in requests if request.arch == kernel.file.arch]
        if not fitting:
            mistakes.add(
                f"--kernel {kernel.file.path} is a kernel for {kernel.file.arch}, which fits no given board: {arches}"
            )
        elif len(fitting) < len(requests):
            remarks.append(f"kernel {kernel.name} ({kernel.file.arch}) runs only on {', '.join(fitting)}")
    choices: list[ImagePlan | None] = [*images] or [None]
    targets = []
    for request in requests:
        fitting_kernels = [
            mistakes.collect(_completed, kernel, request) for kernel in kernels if kernel.file.arch == request.arch
        ]
        if not kernels:
            fitting_kernels = [mistakes.collect(_default_kernel, request, options)]
        elif not fitting_kernels:
            remarks.append(f"nothing runs on {request.name}: no given kernel fits it")
        for kernel_plan in fitting_kernels:
            for image in choices:
                mistakes.collect(_check_deploy, request, kernel_plan, image)
                parts = [request.name]
                if len(kernels) > 1 and kernel_plan:
                    parts.append(kernel_plan.name)
                if len(images) > 1 and image:
                    parts.append(image.name)
                targets.append(Target("-".join(parts), request, kernel_plan, image))
    return targets, remarks


def _check_deploy(request: BoardRequest, kernel: KernelPlan | None, image: ImagePlan | None) -> None:
    for board in request.candidates:
        driver = board.deploy.driver
        if kernel and kernel.given and not driver.takes_kernel:
            raise ConfigurationError(
                f"board {board.name!r} cannot take a kernel (deploy = {board.deploy.method!r}): leave out --kernel"
            )
        if image and not driver.takes_image:
            raise ConfigurationError(
                f"board {board.name!r} cannot take an image (deploy = {board.deploy.method!r}): leave out --image"
            )


def _check_power(board: BoardConfig, guard: Guard) -> None:
    if board.model.console.url.startswith("exec:") and board.power.method != "none":
        raise ConfigurationError(
            f'{board.path}: a console "exec:..." is a process, which nothing switches: set power = "none"'
        )
    context = PowerContext(board.name, board.path.parent, guard, EventLog())
    board.power.driver(board.power.options, context).check()


def _check_transfer(board: BoardConfig, mode: Mode) -> None:
    if mode == "ssh" and not board.model.transfer.ssh:
        raise ConfigurationError(
            f'board {board.name!r} cannot take files by ssh: set [transfer] ssh = "USER@HOST" in {board.path}, '
            "or leave out --transfer"
        )


def _kernel(text: str) -> KernelPlan:
    path, *rest = text.split(",")
    named: dict[str, Path] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals or key not in _KERNEL_KEYS:
            raise ConfigurationError(
                f"--kernel {text}: {part!r} is not understood; write PATH[,modules=PATH][,dtb=PATH][,initrd=PATH]"
            )
        named[key] = _existing(value, f"--kernel {key}=")
    file = inspect(_path(path))
    return KernelPlan(file.path.name, file, named.get("modules"), named.get("dtb"), named.get("initrd"))


def _files(options: Options) -> list[tuple[str, str]]:
    """``--initrd`` and ``--dtb``, as far as given."""
    return [(key, value) for key, value in (("initrd", options.initrd), ("dtb", options.dtb)) if value]


def _default_kernel(request: BoardRequest, options: Options) -> KernelPlan | None:
    """The lab's own kernel of a board: what is booted when the user names none."""
    defaults = request.candidates[0].model.defaults
    files = {key: _path(value) for key, value in _files(options)}
    if defaults.kernel is None:
        useless = [f"--{key}" for key in files] + (["--append"] if options.append else [])
        if useless:
            raise ConfigurationError(
                f"board {request.name!r} boots a kernel of its own, which takes no {' or '.join(useless)}: "
                "add --kernel PATH, or leave that out"
            )
        return None
    for key in ("kernel", "initrd", "dtb"):
        path = _default_file(request, key)
        if path is None or key in files:
            continue
        if not path.is_file():
            advice = f"run `{defaults.hint}`, or give" if defaults.hint else "give"
            raise ConfigurationError(
                f"board {request.name!r} has no {key} to boot, {path} is not there: {advice} --{key}"
            )
        files[key] = path
    # what the user adds is under test, also on the lab's own kernel
    under_test = bool(options.append or _files(options))
    append = " ".join(filter(None, [defaults.append, options.append]))
    return KernelPlan(
        "default", inspect(files["kernel"]), None, files.get("dtb"), files.get("initrd"), append, given=under_test
    )


def _completed(kernel: KernelPlan, request: BoardRequest) -> KernelPlan:
    """A given kernel with the board's own files and arguments for what the user did not give.

    A kernel that mounts a root file system (``root=``) gets no initial RAM file system, which would keep it from that.
    """
    append = " ".join(filter(None, [request.candidates[0].model.defaults.append, kernel.append]))
    initrd = kernel.initrd
    if initrd is None and "root=" not in append:
        initrd = _default_file(request, "initrd")
    dtb = kernel.dtb or _default_file(request, "dtb")
    if kernel.modules is not None and (initrd is None or not initrd.is_file()):
        raise ConfigurationError(f"--kernel modules={kernel.modules} needs an initrd to go into: add initrd=PATH")
    present = [path if path is not None and path.is_file() else None for path in (initrd, dtb)]
    return replace(kernel, initrd=present[0], dtb=present[1], append=append)


def _default_file(request: BoardRequest, key: str) -> Path | None:
    board = request.candidates[0]
    value = getattr(board.model.defaults, key)
    return _newest(board.path.parent / Path(value.replace("{cache}", str(cache_dir())))) if value else None


def _newest(pattern: Path) -> Path:
    """The newest file that a default with ``*`` matches; as it is if there is none."""
    if "*" not in pattern.name:
        return pattern
    return max(pattern.parent.glob(pattern.name), key=lambda path: path.stat().st_mtime_ns, default=pattern)


def _distinct(kernels: Iterable[KernelPlan]) -> list[KernelPlan]:
    """Kernels with names that differ; two of the same name get the folder's name before it."""
    listed = list(kernels)
    names = [kernel.name for kernel in listed]
    result, seen = [], dict[str, int]()
    for kernel in listed:
        name = kernel.name
        if names.count(name) > 1:
            name = f"{kernel.file.path.absolute().parent.name}-{name}"
        seen[name] = seen.get(name, 0) + 1
        result.append(replace(kernel, name=name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return result


def _images(texts: Sequence[str], mistakes: _Mistakes) -> list[ImagePlan]:
    """Named parts (``boot=PATH``) form one image; each unnamed one is an image of its own."""
    named: dict[str, Path] = {}
    unnamed: list[Path] = []
    for text in texts:
        part, equals, value = text.partition("=")
        if equals and part.isidentifier() and not Path(text).exists():
            if part in named:
                mistakes.add(f"--image {part}= was given twice: name each part once")
            elif path := mistakes.collect(_existing, value, f"--image {part}="):
                named[part] = path
        elif path := mistakes.collect(_existing, text, "--image "):
            unnamed.append(path)
    if named and len(unnamed) > 1:
        mistakes.add("--image: several unnamed images cannot be combined with named parts; name them all")
    if named:
        parts = {**({"": unnamed[0]} if unnamed else {}), **named}
        return [ImagePlan("+".join(path.name for path in parts.values()), parts, _combined(parts.values()))]
    return [ImagePlan(path.name, {"": path}, sha256_of(path)) for path in unnamed]


def _combined(paths: Iterable[Path]) -> str:
    return hashlib.sha256("".join(sha256_of(path) for path in paths).encode()).hexdigest()


def _existing(value: str | None, option: str) -> Path:
    path = _path(value or "")
    if path.is_dir() and not option.endswith("modules="):
        raise ConfigurationError(f"{option}{value}: this is a folder, not a file")
    if not path.exists():
        raise ConfigurationError(f"{option}{value}: there is no such file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{option}{value}: this file cannot be read; check its permissions")
    return path


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()
