"""The kernels of a plan: what options name, completed with a board's own files, or the board's default kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pytest_lava.arguments import without_secret
from pytest_lava.config.boards import BoardConfig
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact, local_path
from pytest_lava.images.kernel import inspect
from pytest_lava.images.kernel_file import FileSource, file_source
from pytest_lava.images.kernel_sources import parse_kernel, parse_tree
from pytest_lava.plan import BoardRequest, KernelRequest
from pytest_lava.planning.images import own_file
from pytest_lava.planning.mistakes import Mistakes, existing

__all__ = ["check_kind", "completed", "default_kernel", "given_kernels"]

_KEYS = ("modules", "dtb", "initrd")
_NONE = "none"  # as modules=


class _Asked(Protocol):
    """The options about kernels."""

    @property
    def kernels(self) -> tuple[str, ...]: ...
    @property
    def kernel_trees(self) -> tuple[str, ...]: ...
    @property
    def initrd(self) -> str | None: ...
    @property
    def dtb(self) -> str | None: ...
    @property
    def modules(self) -> str | None: ...
    @property
    def append(self) -> str: ...
    @property
    def keep_debug_info(self) -> bool: ...
    @property
    def additions(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def folders(self) -> Sequence[Path]: ...


def given_kernels(options: _Asked, cache: Path, mistakes: Mistakes) -> list[KernelRequest]:
    """All that the user named, with names that differ."""
    texts = [("--kernel", text) for text in options.kernels] + [
        ("--kernel-tree", text) for text in options.kernel_trees
    ]
    found = [kernel for option, text in texts if (kernel := mistakes.collect(_kernel, option, text, cache))]
    kernels = [
        replace(kernel, append=options.append, keep_debug=options.keep_debug_info) for kernel in _distinct(found)
    ]
    files = _files(options)
    if files and len(texts) > 1:
        mistakes.add(
            "--initrd, --dtb and --modules go with one kernel; "
            "write --kernel PATH,initrd=PATH,dtb=PATH,modules=PATH for several"
        )
    for key, value in files:
        if len(texts) == len(kernels) == 1:
            kernels[0] = mistakes.collect(_with, kernels[0], key, value, f"--{key} ") or kernels[0]
        elif texts and value != _NONE:
            mistakes.collect(existing, value, f"--{key} ", folder=key == "modules")
    return kernels


def default_kernel(request: BoardRequest, options: _Asked, cache: Path, mistakes: Mistakes) -> KernelRequest | None:
    """The lab's own kernel of a board: what is booted when the user names none."""
    defaults = request.candidates[0].model.defaults
    files = _files(options)
    if defaults.kernel is None:
        useless = [f"--{key}" for key, _ in files] + (["--append"] if options.append else [])
        if useless:
            raise ConfigurationError(
                f"board {request.name!r} boots a kernel of its own, which takes no {' or '.join(useless)}: "
                "add --kernel PATH, or leave that out"
            )
        return None
    own: dict[str, Artefact] = {}
    for key in ("kernel", "initrd", "dtb"):
        path = own_file(request, key, options.folders)
        if path is None or key in dict(files):
            continue
        if not path.is_file():
            advice = f"run `{defaults.hint}`, or give" if defaults.hint else "give"
            raise ConfigurationError(
                f"board {request.name!r} has no {key} to boot, {path} is not there: {advice} --{key}"
            )
        own[key] = Artefact.of(path)
    source = file_source(own["kernel"], cache)
    append = " ".join(filter(None, [defaults.append, options.append]))
    # what the user adds is under test, also on the lab's own kernel
    under_test = bool(options.append or options.additions or files)
    kernel = KernelRequest(
        "default", "the default kernel", source, dtb=own.get("dtb"), initrd=own.get("initrd"), append=append,
        given=under_test, keep_debug=options.keep_debug_info,
    )  # fmt: skip
    for option, value in files:
        kernel = mistakes.collect(_with, kernel, option, value, f"--{option} ") or kernel
    return kernel


def completed(kernel: KernelRequest, request: BoardRequest, folders: Sequence[Path]) -> KernelRequest:
    """A given kernel with the board's own files and arguments for what the user did not give.

    A kernel that mounts a root file system (``root=``) gets no initial RAM file system, which would keep it from that.
    """
    defaults = request.candidates[0].model.defaults
    append = " ".join(filter(None, [defaults.append, kernel.append]))
    initrd, dtb = kernel.initrd, kernel.dtb
    if initrd is None and "root=" not in append:
        initrd = _present(own_file(request, "initrd", folders))
    if dtb is None and not kernel.dtb_name:
        dtb = _present(own_file(request, "dtb", folders))
    if kernel.modules is not None and initrd is None:
        raise ConfigurationError(
            f"{kernel.label}: modules={kernel.modules} needs an initrd to go into: add initrd=PATH"
        )
    named = kernel.dtb_name or ("" if kernel.dtb else defaults.dtb_name)
    return replace(kernel, initrd=initrd, dtb=dtb, dtb_name=named, append=append)


def check_kind(kernel: KernelRequest, board: BoardConfig, cache: Path) -> None:
    """``ConfigurationError`` if it is seen already that the board's boot chain does not take such a file."""
    kinds, source = board.model.kernels, kernel.source
    if not kinds or not source.simple or not isinstance(source, FileSource) or source.artefact.path is None:
        return
    kind = inspect(source.artefact.path, cache).kind
    if kind not in kinds:
        raise ConfigurationError(
            f"{kernel.label} is a {kind}, which board {board.name!r} does not boot: give {' or '.join(kinds)}"
        )


def _kernel(option: str, text: str, cache: Path) -> KernelRequest:
    """``PATH-OR-URL[,modules=...][,dtb=...][,initrd=...]``."""
    place, *rest = text.split(",")
    parts = []
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals or key not in _KEYS:
            raise ConfigurationError(
                f"{option} {text}: {part!r} is not understood; write PATH[,modules=PATH][,dtb=PATH][,initrd=PATH]"
            )
        parts.append((key, value))
    source = parse_tree(place) if option == "--kernel-tree" else parse_kernel(place, cache)
    local = source.artefact.path if isinstance(source, FileSource) else None
    kernel = KernelRequest(source.name, f"{option} {local or without_secret(place)}", source)
    for key, value in parts:
        kernel = _with(kernel, key, value, f"{option} {key}=")
    return kernel


def _with(kernel: KernelRequest, key: str, value: str, option: str) -> KernelRequest:
    """The kernel with one more file."""
    if key == "modules" and value == _NONE:
        return replace(kernel, bare=True)
    if key == "dtb" and not kernel.source.simple and _is_name(value):
        return replace(kernel, dtb_name=value)
    found = existing(value, option, folder=key == "modules")
    if key == "modules":
        return replace(kernel, modules=found)
    return replace(kernel, dtb=found) if key == "dtb" else replace(kernel, initrd=found)


def _is_name(value: str) -> bool:
    """Whether this is a device tree's name in a kernel's package or tree, not a file of the user."""
    return "://" not in value and not local_path(value).exists() and value.endswith((".dtb", ".dtbo"))


def _files(options: _Asked) -> list[tuple[str, str]]:
    """``--initrd``, ``--dtb`` and ``--modules``, as far as given."""
    given = (("initrd", options.initrd), ("dtb", options.dtb), ("modules", options.modules))
    return [(key, value) for key, value in given if value]


def _present(path: Path | None) -> Artefact | None:
    return Artefact.of(path) if path is not None and path.is_file() else None


def _distinct(kernels: Iterable[KernelRequest]) -> list[KernelRequest]:
    """Kernels with names that differ; two of the same name get the folder's name before it."""
    listed = list(kernels)
    names = [kernel.name for kernel in listed]
    result, seen = [], dict[str, int]()
    for kernel in listed:
        name = kernel.name
        if names.count(name) > 1:
            name = f"{kernel.source.place}-{name}"
        seen[name] = seen.get(name, 0) + 1
        result.append(replace(kernel, name=name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return result
