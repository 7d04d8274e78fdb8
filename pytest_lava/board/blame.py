"""Whose fault a boot is that does not come to a shell, and what the silent board still answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pytest_lava.config.boards import BoardConfig
from pytest_lava.console.console import Console
from pytest_lava.console.ladder import Ladder
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import Deployment
from pytest_lava.errors import BootFailed, Hang, InfrastructureError, KernelCrash, LavaError, Timeout
from pytest_lava.responsiveness import Responsiveness, Verdict

__all__ = ["blamed", "in_a_hurry"]


@contextmanager
def blamed(config: BoardConfig, deployment: Deployment, console: Console) -> Iterator[None]:
    """What the user gave (kernel, arguments, image) is to blame for a boot that fails; if nothing, the lab.

    A boot that is over its time gets the kernel's answer to SysRq into its error, which costs 33 s at most.
    """
    kernel, image = deployment.kernel, deployment.image
    under_test = (kernel is not None and kernel.given) or (image is not None and image.given)
    kind = BootFailed if under_test else InfrastructureError
    try:
        yield
    except (BootFailed, Hang, KernelCrash) as error:
        raise kind(str(error), evidence=error.evidence, responsiveness=error.responsiveness) from error
    except Timeout as error:
        found = _ask_kernel(console)
        told = f"{found}\n{found.sysrq}\n" if found.sysrq else ""
        message = _no_prompt(config, error) + _kernel(found)
        raise kind(message, evidence=told + error.evidence, responsiveness=found) from error


@contextmanager
def in_a_hurry(config: BoardConfig, limit: Deadline | None) -> Iterator[None]:
    """Around a boot: who gave it less time than its board file does is to blame if that did not do, not the lab."""
    try:
        yield
    except InfrastructureError as error:
        if not config.hurried or limit is None or not limit.expired or type(error) is not InfrastructureError:
            raise
        why = f"{config.name} has not booted within --boot-timeout {config.hurried:g}: allow it more time; {error}"
        raise BootFailed(why, evidence=error.evidence, responsiveness=error.responsiveness) from error


def _ask_kernel(console: Console) -> Responsiveness:
    ladder = Ladder(console)
    with suppress(LavaError):  # the line ended: that is no other fault than before
        ladder.ask_kernel()
    return ladder.result


def _kernel(found: Responsiveness) -> str:
    if found.verdict is Verdict.KERNEL_ALIVE:
        return "; its kernel is alive"
    return "; no kernel answers SysRq" if any(not step.skipped for step in found.steps) else ""


def _no_prompt(config: BoardConfig, error: Timeout) -> str:
    limits = config.model.timeouts
    within = min(limits.kernel + limits.login, limits.boot or math.inf)
    lines = [line for line in error.evidence.splitlines() if line.strip()]
    last = f"; the last line was {lines[-1]!r}" if lines else "; nothing came over the serial line"
    return (
        f"no shell or login prompt on {config.name} within {within:g} s: check the kernel and "
        f"[login] shell_prompt{last}"
    )
