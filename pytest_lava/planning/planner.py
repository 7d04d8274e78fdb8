"""From options and board files to a RunPlan; every mistake that can be seen without a board, told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_lava.config.boards import BoardConfig, BoardFiles
from pytest_lava.deploy.api import DeployContext
from pytest_lava.errors import ConfigurationError
from pytest_lava.events import EventLog
from pytest_lava.images.artefact import local_path
from pytest_lava.images.cache import cache_dir
from pytest_lava.images.housekeeping import parse_size
from pytest_lava.images.shelf import Shelf
from pytest_lava.inject.additions import Addition, check, parse_addition
from pytest_lava.jobs.job import Job
from pytest_lava.plan import BoardRequest, CachePlan, ImageRequest, KernelRequest, RecoveryMode, RunPlan, Target
from pytest_lava.planning.commands import check_commands, out_of_tree
from pytest_lava.planning.images import default_image, given_images
from pytest_lava.planning.jobs import Want, distinct, wanted
from pytest_lava.planning.kernels import check_kind, completed, default_kernel, given_kernels
from pytest_lava.planning.mistakes import Mistakes
from pytest_lava.planning.proxy import with_proxy
from pytest_lava.planning.results import bundle_content, junit_links
from pytest_lava.planning.symbols import given_vmlinux
from pytest_lava.power.api import Guard, KeepsState, PowerContext
from pytest_lava.stress.plan import REPORT, StressPlan, parse_limits
from pytest_lava.transfer.api import Mode

__all__ = ["Options", "make_plan"]


@dataclass(frozen=True)
class Options:
    """What the user asked for, as typed.

    ``additions`` are pairs of an option (``--deb``, ``--overlay``, ``--file``) and what it says, in order.
    ``assets`` is where ``pytest-lava fetch`` puts the boards' own kernels, ``cache`` where this run keeps what it
    fetches and makes, if not there too.
    """

    boards: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    kernel_trees: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    command_files: tuple[str, ...] = ()
    host_commands: tuple[str, ...] = ()
    collect_files: tuple[str, ...] = ()
    script_args: str = ""
    initrd: str | None = None
    dtb: str | None = None
    modules: str | None = None
    append: str = ""
    keep_debug_info: bool = False
    additions: tuple[tuple[str, str], ...] = ()
    assets: Path = field(default_factory=cache_dir)
    cache: str | None = None
    cache_limit: str = "20G"
    no_cache: bool = False
    offline: bool = False
    bundle: str | None = None
    bundle_format: str = "1.5"
    bundle_tags: tuple[str, ...] = ()
    bundle_url: str | None = None
    junit_attachments: str = "none"
    #: the folder from which a CI server takes files, empty if there is none
    project_dir: str = ""
    attachment_limit: str = "8M"
    board_wait: float = 0.0
    command_timeout: float = 600.0
    deploy_timeout: float | None = None
    boot_timeout: float | None = None
    transfer: Mode = "auto"
    snapshots: bool = False
    recovery: RecoveryMode = "redeploy"
    vmlinux: tuple[str, ...] = ()
    package_proxy: str | None = None
    stress: tuple[str, ...] = ()
    stress_limit: str | None = None
    stress_iterations: int | None = None
    stress_report: float | None = None
    until_failure: bool = False
    params: tuple[tuple[str, str], ...] = ()
    suite_timeout: float = 3600.0
    skip_install: bool = False

    @property
    def folders(self) -> Sequence[Path]:
        """What ``{cache}`` in a board file may be: this run's own cache, if it was named, before the user's."""
        own = [local_path(self.cache).absolute()] if self.cache else []
        return [*own, self.assets]


def make_plan(
    options: Options, files: BoardFiles, run_folder: Path, guard: Guard, jobs: Sequence[Job] = (), *, plain: bool = True
) -> RunPlan:
    """Validate everything and put it together. ``ConfigurationError`` has one sentence for each mistake.

    ``jobs`` have targets of their own; ``plain``: there is more to run, on what the options say.
    """
    mistakes = Mistakes()
    if plain and not options.boards:
        mistakes.add("no board was given: add --board=NAME, for example --board=localhost")
    stress = mistakes.collect(_stress, options)
    more = out_of_tree(options, mistakes)
    content = bundle_content(options, run_folder.name, mistakes)
    links = junit_links(options, run_folder, mistakes)
    cache = mistakes.collect(_cache, options, run_folder)
    facts = cache.facts(options.assets) if cache else options.assets
    vmlinux = given_vmlinux(options.vmlinux, mistakes)
    asked = [_asked(want, files, facts, mistakes) for want in wanted(options, jobs, files, mistakes, plain=plain)]
    keeping = _check_boards(asked, options.transfer, guard, mistakes)
    mistakes.raise_all()
    assert cache is not None
    remarks = [remark for job in jobs for remark in job.remarks]
    targets, additions = _all_targets(asked, options, facts, guard, mistakes=mistakes, remarks=remarks)
    mistakes.raise_all()
    return RunPlan(
        targets=distinct(targets),
        commands=options.commands,
        run_folder=run_folder,
        bundle=Path(options.bundle).absolute() if options.bundle else run_folder / "bundle.json",
        bundle_format=options.bundle_format,
        bundle_content=content,
        junit_links=links,
        cache=cache,
        board_wait=options.board_wait,
        command_timeout=options.command_timeout,
        params=options.params,
        suite_timeout=options.suite_timeout,
        skip_install=options.skip_install,
        transfer=options.transfer,
        snapshots=options.snapshots and keeping,
        recovery=options.recovery,
        stress=stress or StressPlan(),
        out_of_tree=more,
        additions=additions,
        vmlinux=vmlinux,
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _check_boards(asked: Sequence[_Asked], mode: Mode, guard: Guard, mistakes: Mistakes) -> bool:
    """Whether the state of any can be kept."""
    keeping = False
    for board in (board for one in asked for request in one.requests for board in request.candidates):
        keeping |= bool(mistakes.collect(_check_power, board, guard))
        mistakes.collect(_check_transfer, board, mode)
    return keeping


def _all_targets(
    asked: Sequence[_Asked], options: Options, facts: Path, guard: Guard, *, mistakes: Mistakes, remarks: list[str]
) -> tuple[list[Target], tuple[Addition, ...]]:
    """The targets of all that is asked for, and what goes into their images; what is to be said of them is added."""
    additions: tuple[Addition, ...] = ()
    targets: list[Target] = []
    for one in asked:
        additions = _additions(options.additions, one.requests, facts, mistakes)
        found, more = _targets(one, facts, guard, mistakes)
        targets += found
        remarks += more
    return targets, additions


def _limited(board: BoardConfig, options: Options) -> BoardConfig:
    """With the limits of the command line in place of its own."""
    own = {}
    if options.deploy_timeout:
        own["deploy"] = options.deploy_timeout
    if limit := options.boot_timeout:
        own |= dict.fromkeys(("bootloader", "kernel", "login", "boot"), limit)
    if not own:
        return board
    its = board.model.timeouts
    hurried = limit if limit and limit < (its.boot or its.bootloader + its.kernel + its.login) else 0.0
    model = board.model.model_copy(update={"timeouts": its.model_copy(update=own)})
    return replace(board, model=model, hurried=hurried)


@dataclass(frozen=True)
class _Asked:
    """What is wanted, as far as it could be read."""

    want: Want
    requests: Sequence[BoardRequest]
    kernels: Sequence[KernelRequest]
    images: Sequence[ImageRequest]


def _asked(want: Want, files: BoardFiles, facts: Path, mistakes: Mistakes) -> _Asked:
    options = want.options
    requests = []
    for name in dict.fromkeys(options.boards):
        if boards := mistakes.collect(_candidates, name, files, options.package_proxy):
            fitted = [mistakes.collect(want.fit, board) or board for board in boards]
            requests.append(BoardRequest(name, tuple(_limited(board, options) for board in fitted)))
    return _Asked(want, requests, given_kernels(options, facts, mistakes), given_images(options.images, mistakes))


def _targets(asked: _Asked, cache: Path, guard: Guard, mistakes: Mistakes) -> tuple[list[Target], list[str]]:
    requests, kernels, images, options = asked.requests, asked.kernels, asked.images, asked.want.options
    additions = _additions(asked.want.additions, requests, cache, mistakes)
    remarks: list[str] = []
    arches = ", ".join(f"{request.name} ({request.arch})" for request in requests)
    for kernel in kernels:
        fitting = [request.name for request in requests if _fits(kernel, request)]
        if not fitting:
            mistakes.add(f"{kernel.label} is a kernel for {kernel.arch}, which fits no given board: {arches}")
        elif len(fitting) < len(requests):
            remarks.append(f"kernel {kernel.name} ({kernel.arch}) runs only on {', '.join(fitting)}")
    targets = []
    for request in requests:
        fitting_kernels = [
            mistakes.collect(completed, kernel, request, options.folders)
            for kernel in kernels
            if _fits(kernel, request)
        ]
        if not kernels:
            fitting_kernels = [mistakes.collect(default_kernel, request, options, cache, mistakes)]
        elif not fitting_kernels:
            remarks.append(f"nothing runs on {request.name}: no given kernel fits it")
        own: ImageRequest | None = None if images else mistakes.collect(default_image, request, options.folders)
        choices: list[ImageRequest | None] = [*images] or [own]
        for kernel_plan in fitting_kernels:
            for image in choices:
                mistakes.collect(_check_deploy, request, kernel_plan, image, guard, cache)
                parts = [request.name]
                if len(kernels) > 1 and kernel_plan:
                    parts.append(kernel_plan.name)
                if len(images) > 1 and image:
                    parts.append(image.name)
                name, job = "-".join(parts), asked.want.job
                job = replace(job, story=f"{job.file}:{name}") if job else None
                targets.append(Target(name, request, kernel_plan, image, job, additions))
    return targets, remarks


def _candidates(name: str, files: BoardFiles, proxy: str | None) -> list[BoardConfig]:
    return [with_proxy(board, proxy) for board in files.candidates(name)]


def _stress(options: Options) -> StressPlan:
    check_commands("--stress", options.stress, "'stress-ng --cpu 0'")
    limits = parse_limits(options.stress_limit, options.stress_iterations)
    said = {
        "--stress-limit": options.stress_limit,
        "--stress-iterations": options.stress_iterations,
        "--stress-report": options.stress_report,
    }
    given = tuple(name for name, value in said.items() if value is not None)
    report = REPORT if options.stress_report is None else options.stress_report
    return StressPlan(options.stress, limits, report, options.until_failure, given)


def _fits(kernel: KernelRequest, request: BoardRequest) -> bool:
    """What nothing is known of yet may fit: that is checked before the board is leased."""
    return kernel.arch in ("", request.arch)


def _cache(options: Options, run_folder: Path) -> CachePlan:
    limit = parse_size(options.cache_limit, "lava_cache_limit")
    if options.no_cache and (options.cache or options.offline):
        other = "--lava-cache" if options.cache else "--offline"
        raise ConfigurationError(f"--no-cache and {other} contradict each other: leave out one of them")
    if options.no_cache:
        return CachePlan(run_folder / "cache", passing=True)
    folder = local_path(options.cache).absolute() if options.cache else options.assets
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--lava-cache {options.cache}: this is no folder")
    return CachePlan(folder, limit, options.offline)


def _check_deploy(
    request: BoardRequest, kernel: KernelRequest | None, image: ImageRequest | None, guard: Guard, cache: Path
) -> None:
    for board in request.candidates:
        driver = board.deploy.driver
        if kernel and kernel.given and not driver.takes_kernel:
            raise ConfigurationError(
                f"board {board.name!r} cannot take a kernel (deploy = {board.deploy.method!r}): leave out --kernel"
            )
        if kernel:
            check_kind(kernel, board, cache)
        if image and not driver.takes_image:
            raise ConfigurationError(
                f"board {board.name!r} cannot take an image (deploy = {board.deploy.method!r}): leave out --image"
            )
        power = board.power.driver(board.power.options, PowerContext(board.name, board.path.parent, guard, EventLog()))
        url = board.model.console.url
        context = DeployContext(board.name, board.path.parent, power, EventLog(), guard, Shelf(cache), url)
        driver(board.deploy.options, context).check(bool(kernel and kernel.given), tuple(image.parts) if image else ())


def _additions(
    asked: Sequence[tuple[str, str]], requests: Sequence[BoardRequest], cache: Path, mistakes: Mistakes
) -> tuple[Addition, ...]:
    """What goes into images, as far as it is here by now and fits each board."""
    found = [one for option, text in asked if (one := mistakes.collect(parse_addition, option, text))]
    for request in requests:
        for board in request.candidates:
            if found and board.model.console.url.startswith("exec:"):
                mistakes.add(
                    f"board {board.name!r} is a process on this machine, into which nothing is put: "
                    "leave out --deb, --overlay and --file"
                )
        for addition in found:
            mistakes.collect(check, addition, request.arch, cache)
    return tuple(found)


def _check_power(board: BoardConfig, guard: Guard) -> bool:
    """Whether the machine can keep its state."""
    if board.model.console.url.startswith("exec:") and board.power.method != "none":
        raise ConfigurationError(
            f'{board.path}: a console "exec:..." is a process, which nothing switches: set power = "none"'
        )
    context = PowerContext(board.name, board.path.parent, guard, EventLog())
    power = board.power.driver(board.power.options, context)
    power.check()
    return isinstance(power, KeepsState) and power.keeps_state


def _check_transfer(board: BoardConfig, mode: Mode) -> None:
    if mode == "ssh" and not board.model.transfer.ssh:
        raise ConfigurationError(
            f'board {board.name!r} cannot take files by ssh: set [transfer] ssh = "USER@HOST" in {board.path}, '
            "or leave out --transfer"
        )
