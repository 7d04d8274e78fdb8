"""Command line options; each has a ``dest`` of its own, so that no other plugin's clashes with it."""

from __future__ import annotations

import argparse
import os
import re
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_lava.arguments import limit, seconds
from pytest_lava.plugin.named_files import jobs_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_lava.planning.planner import Options

__all__ = ["pytest_addoption", "read_options", "wanted"]

_CACHE_LIMIT = "20G"


class _Add(Protocol):
    """``addoption`` of a group."""

    def __call__(self, *names: str, **attributes: Any) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ours."""
    group = parser.getgroup("lava", "boards, kernels and results (pytest-lava)")
    add = group.addoption
    add(
        "--board",
        action="append",
        metavar="NAME",
        dest="lava_board",
        help="run on this board, or on any free board whose file extends it; repeatable",
    )
    _add_deployed(add)
    _add_items(add)
    _add_suites(add)
    _add_conduct(add)
    _add_stress(add)
    _add_results(add)
    _add_submit(add)
    _add_cache(parser, add)


def _add_deployed(add: _Add) -> None:
    """What boards are to run."""
    add(
        "--kernel",
        action="append",
        metavar="PATH[,modules=...][,dtb=...][,initrd=...]",
        dest="lava_kernel",
        help="boot this kernel: a file, Debian package or tarball, here or behind a URL; repeat it to run on each",
    )
    add(
        "--kernel-tree",
        action="append",
        metavar="DIR[,modules=...][,dtb=...][,initrd=...]",
        dest="lava_kernel_tree",
        help="boot what make built in this kernel tree (or O= folder), or a TuxMake or KernelCI build, also behind a "
        "URL; repeatable",
    )
    add(
        "--modules", metavar="PATH", dest="lava_modules",
        help="put these modules (folder, tarball, URL) into the initial RAM file system; none: not those it comes with",
    )  # fmt: skip
    add(
        "--keep-debug-info", action="store_true", dest="lava_keep_debug_info",
        help="kernel modules keep their debugging information, which the board gets none of else",
    )  # fmt: skip
    add("--initrd", metavar="PATH", dest="lava_initrd", help="initial RAM file system for the one kernel (path, URL)")
    add("--dtb", metavar="PATH", dest="lava_dtb", help="device tree for the one kernel: path, URL, or name in it")
    add("--append", metavar="ARGS", default="", dest="lava_append", help="more kernel arguments")
    add(
        "--vmlinux", action="append", metavar="PATH", dest="lava_vmlinux",
        help="put lines of source to call traces by this file, if it is the kernel that ran; a --kernel-tree has its "
        "own; repeatable",
    )  # fmt: skip
    add(
        "--image",
        action="append",
        metavar="[PART=]PATH",
        dest="lava_image",
        help="deploy this image (path or URL); named parts form one, the unnamed form is repeatable",
    )
    for name, metavar, text in (
        ("--deb", "PACKAGE", "put this Debian package into the image; where there is dpkg, it installs it at boot"),
        ("--overlay", "TAR[:/PATH]", "unpack this archive into the image"),
        ("--file", "SRC:DST[:MODE]", "put this file, or folder, into the image at an absolute path"),
    ):
        add(
            name, action="append", metavar=metavar, dest="lava_additions", type=_named(name),
            help=f"{text}; path or URL; repeatable, the later one wins",
        )  # fmt: skip


def _add_items(add: _Add) -> None:
    """Items that are no Python tests."""
    add(
        "--command", action="append", metavar="CMD", dest="lava_command",
        help="run this command on the board as a test of its own; repeatable",
    )  # fmt: skip
    add(
        "--command-file", action="append", metavar="FILE", dest="lava_command_file",
        help="the same for each line of this file: CMD, or NAME: CMD; # comments, a backslash continues; repeatable",
    )  # fmt: skip
    add(
        "--host-command", action="append", metavar="CMD", dest="lava_host_command",
        help="run this command on this machine, beside the booted board, as a test of its own; repeatable",
    )  # fmt: skip
    add(
        "--command-timeout", type=seconds, default=600.0, metavar="SECONDS", dest="lava_command_timeout",
        help="limit of each command and script (default: 600)",
    )  # fmt: skip
    add(
        "--script-args", metavar="ARGS", default="", dest="lava_script_args",
        help="arguments of the scripts (*.sh, or with #!) that are named on the command line and run on the board",
    )  # fmt: skip
    add(
        "--collect-file", action="append", metavar="PATTERN", dest="lava_collect_file",
        help="after each command, script and test definition, keep these files of the board with its result: a whole "
        "path, perhaps with * and ?; repeatable",
    )  # fmt: skip


def _add_suites(add: _Add) -> None:
    """Suites and test definitions."""
    add(
        "--suite", action="append", metavar="NAME", dest="lava_suite",
        help="run the suite of that name: of the project's testsuites folder, the user's, or those that ship (smoke, "
        "boot, memory, ...); repeatable",
    )  # fmt: skip
    add(
        "--param", action="append", metavar="NAME=VALUE", dest="lava_params", type=_param,
        help="a parameter of test definitions, in place of their own; repeatable",
    )  # fmt: skip
    add(
        "--skip-install", action="store_true", dest="lava_skip_install",
        help="do not install on the board what test definitions want installed",
    )  # fmt: skip
    add(
        "--suite-timeout", type=limit, default=3600.0, metavar="SECONDS", dest="lava_suite_timeout",
        help="limit of each test definition, its installation included (default: 3600)",
    )  # fmt: skip


def _add_conduct(add: _Add) -> None:
    """How the run goes about it."""
    add(
        "--board-wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        dest="lava_board_wait",
        help="wait so long for a board that is in use (default: 0)",
    )
    for name, text in (("deploy", "bringing kernel and image to a board"), ("boot", "power-on to a shell")):
        add(
            f"--{name}-timeout", type=limit, metavar="SECONDS", dest=f"lava_{name}_timeout",
            help=f"limit for {text}, in place of the board file's",
        )  # fmt: skip
    add(
        "--transfer",
        choices=["auto", "serial", "http", "ssh"],
        default="auto",
        dest="lava_transfer",
        help="how files go to a board and back (default: auto, a network where there is one, else the serial line)",
    )
    add(
        "--package-proxy", metavar="URL", dest="lava_package_proxy",
        help="what the board itself fetches goes through this proxy (http://HOST:PORT; none: not through that of its "
        "board file)",
    )  # fmt: skip
    add(
        "--recovery",
        choices=["none", "reboot", "redeploy"],
        default="redeploy",
        dest="lava_recovery",
        help="how far to go to bring a dead board back: not at all, up to a power cycle, or up to deploying once more "
        "(default: redeploy)",
    )
    add(
        "--kernel-messages",
        choices=["ignore", "report", "fail"],
        default="report",
        dest="lava_kernel_messages",
        help="warnings, stalls and oopses of the kernel during a test: note them with its result (default: report), "
        "let it fail by them, or ignore them",
    )


def _add_stress(add: _Add) -> None:
    """Runs without a set duration."""
    add(
        "--stress", action="append", metavar="CMD", dest="lava_stress",
        help="run this command on the board again and again, until the board crashes or hangs, the command fails or a "
        "limit is met; repeatable",
    )  # fmt: skip
    add(
        "--stress-limit", metavar="TIME", dest="lava_stress_limit",
        help="limit of each stress run, or of --until-failure: 90s, 30min, 2h (default: none)",
    )  # fmt: skip
    add(
        "--stress-iterations", type=int, metavar="N", dest="lava_stress_iterations",
        help="likewise, as a number of iterations (default: none)",
    )  # fmt: skip
    add(
        "--stress-report", type=seconds, metavar="SECONDS", dest="lava_stress_report",
        help="put what was measured so far into the journal so often (default: 60)",
    )  # fmt: skip
    add(
        "--until-failure", action="store_true", dest="lava_until_failure",
        help="repeat the selected tests until one fails or a limit is met, and tell the pass rate",
    )  # fmt: skip


def _add_results(add: _Add) -> None:
    """Where results go."""
    add("--bundle", metavar="PATH", dest="lava_bundle", help="where the result bundle goes (default: the run folder)")
    add(
        "--bundle-format",
        choices=["1.3", "1.5", "1.6", "1.7"],
        default="1.5",
        dest="lava_bundle_format",
        help="version of the Dashboard Bundle Format (default: 1.5)",
    )
    add(
        "--bundle-tag", action="append", metavar="TAG", dest="lava_bundle_tags",
        help="put this tag on every test run of the bundle; repeatable",
    )  # fmt: skip
    add(
        "--bundle-url", metavar="URL", dest="lava_bundle_url",
        help="where others will find the run folder, for files that are too large for the bundle; {folder} is its name",
    )  # fmt: skip
    add(
        "--junit-attachments", choices=["none", "gitlab", "jenkins"], default="none", dest="lava_junit_attachments",
        help="name the files of each test in junit.xml as this CI server links them (default: none)",
    )  # fmt: skip
    add(
        "--lava-dir", metavar="DIR", dest="lava_dir",
        help="run folder: journal, console log, reports (default: lava-runs/TIME-BOARD); an earlier run is moved aside",
    )  # fmt: skip


def _add_submit(add: _Add) -> None:
    """Where results are sent."""
    add(
        "--submit", action="append", metavar="NAME|URL", dest="lava_submit",
        help="send the results there: a sink of pytest-lava.toml, KIND+https://HOST/... (dashboard, squad, kcidb), "
        "http(s)://..., a folder, or junit:FOLDER; repeatable",
    )  # fmt: skip
    add(
        "--submit-wait", type=_time, metavar="TIME", dest="lava_submit_wait",
        help="try so long at the end of the run; what is left is kept, and sent later (default: 2s on a terminal, 2min "
        "where CI is set, else 30s)",
    )  # fmt: skip
    add(
        "--submit-strict",
        action="store_true",
        dest="lava_submit_strict",
        help="a run whose results were not all sent ends with exit status 1, if nothing else failed",
    )
    add(
        "--submit-live", action="store_true", dest="lava_submit_live",
        help="show results on SQUAD and KCIDB while the run goes on",
    )  # fmt: skip
    add("--lava-spool", metavar="DIR", dest="lava_spool", help="keep here what is to be sent (default: the user's)")


def _add_cache(parser: pytest.Parser, add: _Add) -> None:
    """Where what is fetched is kept."""
    add("--lava-cache", metavar="DIR", dest="lava_cache", help="keep what is fetched here (default: the user's cache)")
    add("--no-cache", action="store_true", dest="lava_no_cache", help="fetch everything anew and keep nothing")
    add("--offline", action="store_true", dest="lava_offline", help="use no network: only what the cache has")
    add(
        "--snapshot", action="store_true", default=None, dest="lava_snapshot",
        help="resume an emulated board in the state that an earlier boot left (default, but not where CI is set)",
    )  # fmt: skip
    add(
        "--no-snapshot", action="store_false", default=None, dest="lava_snapshot",
        help="boot each board, and keep no state of it",
    )  # fmt: skip
    parser.addini(
        "lava_files", "patterns of YAML files, from the root folder on, that hold test definitions to collect",
        type="args", default=[],
    )  # fmt: skip
    parser.addini(
        "lava_attachment_limit", "the bundle has files of at most this size whole (default: 8M)", default="8M",
    )  # fmt: skip
    parser.addini(
        "lava_cache_limit", "remove from the cache what was not used for longest above this size (0: never)",
        default=_CACHE_LIMIT,
    )  # fmt: skip


def wanted(config: pytest.Config) -> bool:
    """Whether any option asks for a board."""
    option = config.option
    if getattr(option, "help", False) or getattr(option, "version", 0):
        return False
    names = (
        "lava_board", "lava_kernel", "lava_kernel_tree", "lava_image", "lava_command", "lava_command_file",
        "lava_host_command", "lava_initrd", "lava_dtb",
        "lava_modules", "lava_append", "lava_additions", "lava_stress", "lava_suite", "lava_until_failure",
    )  # fmt: skip
    return any(getattr(option, name, None) for name in names) or bool(jobs_named(config))


def read_options(config: pytest.Config) -> Options:
    """The options as the core takes them."""
    from pytest_lava.planning.planner import Options

    option = config.option
    return Options(
        boards=tuple(option.lava_board or ()),
        kernels=tuple(option.lava_kernel or ()),
        kernel_trees=tuple(option.lava_kernel_tree or ()),
        images=tuple(option.lava_image or ()),
        commands=tuple(option.lava_command or ()),
        command_files=tuple(option.lava_command_file or ()),
        host_commands=tuple(option.lava_host_command or ()),
        collect_files=tuple(option.lava_collect_file or ()),
        script_args=option.lava_script_args,
        initrd=option.lava_initrd,
        dtb=option.lava_dtb,
        modules=option.lava_modules,
        cache=option.lava_cache,
        cache_limit=str(config.getini("lava_cache_limit")),
        no_cache=option.lava_no_cache,
        offline=option.lava_offline,
        append=option.lava_append,
        keep_debug_info=option.lava_keep_debug_info,
        vmlinux=tuple(option.lava_vmlinux or ()),
        additions=tuple((name, text) for name, text in option.lava_additions or ()),
        bundle=option.lava_bundle,
        bundle_format=option.lava_bundle_format,
        bundle_tags=tuple(option.lava_bundle_tags or ()),
        bundle_url=option.lava_bundle_url,
        junit_attachments=option.lava_junit_attachments,
        project_dir=os.environ.get("CI_PROJECT_DIR", ""),
        attachment_limit=str(config.getini("lava_attachment_limit")),
        board_wait=option.lava_board_wait,
        command_timeout=option.lava_command_timeout,
        params=tuple(option.lava_params or ()),
        suite_timeout=option.lava_suite_timeout,
        skip_install=option.lava_skip_install,
        deploy_timeout=option.lava_deploy_timeout,
        boot_timeout=option.lava_boot_timeout,
        transfer=option.lava_transfer,
        stress=tuple(option.lava_stress or ()),
        stress_limit=option.lava_stress_limit,
        stress_iterations=option.lava_stress_iterations,
        stress_report=option.lava_stress_report,
        until_failure=option.lava_until_failure,
        package_proxy=option.lava_package_proxy,
        recovery=option.lava_recovery,
        snapshots=not os.environ.get("CI") if option.lava_snapshot is None else option.lava_snapshot,
    )


def _named(option: str) -> Callable[[str], tuple[str, str]]:
    """Several options in one list, so that their order is kept."""
    return lambda text: (option, text)


def _param(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE with the name of a shell variable")
    return name, value


def _time(text: str) -> float:
    """Seconds; 0 is a time too."""
    from pytest_lava.errors import ConfigurationError
    from pytest_lava.stress.plan import parse_time

    try:
        return 0.0 if text.strip() in ("0", "0s") else parse_time(text, "")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error).strip()) from None
