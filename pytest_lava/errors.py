"""Every error class: whose fault it is, what it does to the run, and how the bundle shows it.

The meaning of the names is LAVA's (``lava_common/exceptions.py``): *infrastructure* is the lab, *job* is what the
submitter supplied, *test* is the test itself, *configuration* is how boards or the run are described, *bug* is ours.
The first line of every message tells the reader what to change.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from pytest_lava.responsiveness import Responsiveness

__all__ = [
    "NO_ROOM",
    "Blame",
    "BoardBusy",
    "BoardEnded",
    "BoardLost",
    "BoardQuarantined",
    "BootFailed",
    "Bug",
    "CommandTimeout",
    "ConfigurationError",
    "ConsoleLost",
    "DeployFailed",
    "DiskFull",
    "Effect",
    "ErrorInfo",
    "ExitStatus",
    "FetchFailed",
    "Hang",
    "InfrastructureError",
    "InjectFailed",
    "JobError",
    "KernelComplaint",
    "KernelCrash",
    "LavaError",
    "LogFull",
    "NetworkError",
    "NotRecovered",
    "OperationFailed",
    "PortMissing",
    "PowerError",
    "TestError",
    "TestTimeout",
    "Timeout",
    "ToolMissing",
    "UnexpectedReset",
    "WrongKernel",
    "describe",
    "first_line",
    "of_this_machine",
]


#: what the system says when a disk of this machine, or our share of it, is full
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Blame(StrEnum):
    """Whose fault an error is."""

    INFRASTRUCTURE = "infrastructure"
    JOB = "job"
    TEST = "test"
    CONFIGURATION = "configuration"
    BUG = "bug"


class Effect(StrEnum):
    """How far an error reaches: the case that met it, the board (and kernel) it happened on, or the whole run."""

    CASE = "case"
    BOARD = "board"
    RUN = "run"


class ExitStatus(IntEnum):
    """Exit statuses of a run beside pytest's own; 69 is ``EX_UNAVAILABLE`` of sysexits.h."""

    TESTS_FAILED = 1
    USAGE = 4
    LAB_FAULT = 69


class LavaError(Exception):
    """Root of the tree. ``blame``, ``effect``, ``retried`` (by ``[retry]``), ``recovers`` (the board needs it before
    the next test) and ``result`` (of the bundle) belong to the class. :mod:`pytest_lava.error_table` shows them all."""

    blame: Blame = Blame.BUG
    effect: Effect = Effect.CASE
    retried: bool = False
    recovers: bool = False
    result: str = "unknown"
    #: what the console showed when it happened; kept apart so that the message stays one sentence
    evidence: str = ""
    #: what still answered, where the board had fallen silent
    responsiveness: Responsiveness | None = None

    def __init__(self, message: str, *, evidence: str = "", responsiveness: Responsiveness | None = None) -> None:
        super().__init__(message)
        self.evidence = evidence
        self.responsiveness = responsiveness

    @property
    def facts(self) -> Mapping[str, str]:
        """More about it, as attributes of a result."""
        return self.responsiveness.facts if self.responsiveness else {}


class ConfigurationError(LavaError):
    """A board file, an option or the set-up of this machine is wrong; seen before a board is touched."""

    blame = Blame.CONFIGURATION
    effect = Effect.RUN


class ToolMissing(ConfigurationError):
    """A program of this machine is needed, and it is not installed."""


class InfrastructureError(LavaError):
    """The lab broke: power, serial line, network, disk. Never the fault of a test."""

    blame = Blame.INFRASTRUCTURE
    effect = Effect.BOARD
    retried = True


class NetworkError(InfrastructureError):
    """A connection was refused, reset or never answered."""


class PowerError(InfrastructureError):
    """A power command failed or its switch did not answer."""


class ConsoleLost(InfrastructureError):
    """The serial line ended or its port cannot be opened."""

    recovers = True


class BoardEnded(ConsoleLost):
    """A test ended the shell that is the board itself, a process on this machine (``exec:``)."""

    blame = Blame.TEST
    effect = Effect.CASE
    retried = False
    result = "fail"


class PortMissing(ConsoleLost):
    """The serial port is not there (yet): an adapter unplugged, or a line that comes up with the board's power."""


class BoardBusy(InfrastructureError):
    """Somebody else holds the board; the message names them."""

    retried = False


class BoardQuarantined(InfrastructureError):
    """The board is out until a person has looked at it; the message says why and how it is released."""

    retried = False


class BoardLost(InfrastructureError):
    """The board died and nothing that recovery tries brings it back."""

    retried = False


class DiskFull(InfrastructureError):
    """There is no space left on this machine."""

    retried = False


class LogFull(ConsoleLost, DiskFull):
    """There is no space left for the console log, without which no board is used."""

    retried = False


class JobError(LavaError):
    """What the submitter supplied cannot work: image, kernel, prompt, checksum."""

    blame = Blame.JOB
    effect = Effect.BOARD
    result = "fail"


class FetchFailed(JobError):
    """What the submitter named is not there, is damaged, or is not what its checksum says."""


class InjectFailed(JobError):
    """Packages, files or modules cannot be put into the image: it is too small, or something is in the way."""


class DeployFailed(JobError):
    """Kernel or image could not be brought to the board."""


class BootFailed(JobError):
    """The board did not come from power-on to a shell."""


class WrongKernel(BootFailed):
    """A shell came, but of another kernel than the one that was deployed."""


class NotRecovered(JobError):
    """The board died and was not brought back, as ``--recovery=none`` has it."""


class KernelCrash(LavaError):
    """The kernel under test panicked, or said what else the watch holds for its end; ``evidence`` holds the trace."""

    blame = Blame.JOB
    recovers = True
    result = "fail"


class UnexpectedReset(KernelCrash):
    """The board's boot loader showed up though nobody asked for a reboot."""


class KernelComplaint(LavaError):
    """The kernel warned, stalled or met an oops that it survived during a test, with ``--kernel-messages=fail``."""

    blame = Blame.JOB
    result = "fail"


class Hang(LavaError):
    """A command is over its time and nothing brings the shell back; ``responsiveness`` says what still answered.

    ``evidence`` holds what the kernel told by SysRq, if it did. The board has to be recovered.
    """

    blame = Blame.JOB
    recovers = True
    result = "fail"


class TestError(LavaError):
    """The test did something that did not work."""

    __test__ = False  # not a test class, though its name begins like one
    blame = Blame.TEST
    result = "fail"


class OperationFailed(TestError):
    """A command that had to succeed returned another status than 0."""


class Timeout(TestError):
    """Something did not happen within its time."""


class CommandTimeout(Timeout):
    """A command on the board did not end within its time; it was ended, and the shell can be used."""


class TestTimeout(TestError):
    """The test is over its own limit (pytest-timeout's), and the console call in progress was ended for it.

    No ``Timeout``: whoever waits for one, or passes over it, means the limit of a command and not that of the test.
    """


class Bug(LavaError):
    """A fault of pytest-lava itself: please report it."""


@dataclass(frozen=True)
class ErrorInfo:
    """An error as the journal keeps it: plain text, no live objects."""

    type: str
    message: str
    blame: Blame
    effect: Effect
    result: str
    evidence: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


def describe(error: BaseException) -> ErrorInfo:
    """Classify any exception. What is not a :class:`LavaError` is a bug of ours (or of the code that raised it)."""
    if isinstance(error, LavaError):
        kind, facts = type(error).__name__, dict(error.facts)
        return ErrorInfo(kind, str(error), error.blame, error.effect, error.result, error.evidence, facts)
    return ErrorInfo(type(error).__name__, str(error), Blame.BUG, Effect.CASE, "unknown")


def first_line(said: object, otherwise: str = "no reason given") -> str:
    """The sentence that says it all: of an error, of what a program complained."""
    lines = str(said).strip().splitlines()
    return lines[0] if lines else otherwise


def of_this_machine(message: str, error: OSError) -> InfrastructureError:
    """What the system said of a file here: ``DiskFull`` if there is no room."""
    return (DiskFull if error.errno in NO_ROOM else InfrastructureError)(message)
