"""What becomes of a run's results: kept in the spool once they are written, then sent for as long as one may wait."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lava.arguments import without_secret
from pytest_lava.deadline import Deadline
from pytest_lava.errors import ConfigurationError, ExitStatus, InfrastructureError, LavaError, of_this_machine
from pytest_lava.sinks.api import Results
from pytest_lava.sinks.choosing import SinkChoice, SinkChooser
from pytest_lava.sinks.secrets import PREFIX, FoundSecrets
from pytest_lava.sinks.settings import Settings, settings_files
from pytest_lava.spool.older import OlderRuns
from pytest_lava.spool.sending import Outcome, Sender, Try
from pytest_lava.spool.store import Spool, default_folder
from pytest_lava.spool.telling import line, refused_command, waiting_command

if TYPE_CHECKING:
    from pytest_lava.plugin.run import Run
    from pytest_lava.registry import Registry

__all__ = ["Submission", "forget", "submission"]

_ON_TERMINAL, _IN_CI, _ELSEWHERE = 2.0, 120.0, 30.0  # seconds
_ADDED = "PYTEST_ADDOPTS"  # of the environment; --submit may stand there, with a secret in its URL
_INTERRUPTED = 2.0  # seconds: whoever interrupts a run waits for its end, and not for more


def submission(config: pytest.Config, registry: Registry) -> Submission:
    """As the options have it. ``ConfigurationError`` tells every mistake at once."""
    option = config.option
    secrets = FoundSecrets(os.environ)
    folder = default_folder()
    if option.lava_spool:
        folder = Path(config.invocation_params.dir, option.lava_spool).absolute()
        if folder.exists() and not folder.is_dir():
            raise ConfigurationError(f"--lava-spool {option.lava_spool}: this is no folder; name another one")
    choices: tuple[SinkChoice, ...] = ()
    if option.lava_submit:
        base = Path(config.invocation_params.dir)
        settings = Settings(settings_files(base, config.rootpath))
        choices = SinkChooser(settings, registry, secrets, base).choose(option.lava_submit)
    return Submission(choices, secrets, Spool(folder, secrets.mask), registry)


def forget(config: pytest.Config) -> None:
    """Whatever shows the options from now on, a failed assertion too, has no secret of a URL."""
    config.option.lava_submit = [without_secret(text) for text in config.option.lava_submit or ()]


class Submission:
    """Of one run. ``choices`` are the sinks it goes to; what older runs left in the spool is sent beside it."""

    def __init__(self, choices: Sequence[SinkChoice], secrets: FoundSecrets, spool: Spool, registry: Registry) -> None:
        self.choices = tuple(choices)
        self.secrets = secrets
        self.problem = ""
        self._spool, self._registry = spool, registry
        self._outcomes: list[Outcome] = []
        self._older = OlderRuns(spool, Sender(spool, registry, secrets))
        self._hidden: dict[str, str] = {}
        self._waiting = False
        self._kept = False

    @property
    def stored(self) -> list[Mapping[str, Any]]:
        """The sinks as the journal has them, for ``pytest-lava submit RUNFOLDER``."""
        return [choice.as_json for choice in self.choices]

    def shown(self, word: str) -> str:
        """A word of the command line as it may be kept."""
        return self.secrets.mask(without_secret(word))

    def hide(self) -> None:
        """What this process starts, boards too, gets no secret of ours with its environment."""
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            self._hidden[name] = os.environ.pop(name)
        given = os.environ.get(_ADDED, "")
        if (shown := without_secret(given)) != given:
            self._hidden[_ADDED], os.environ[_ADDED] = given, shown

    def begin(self, run: Run) -> None:
        """The first item is about to run: what earlier runs left is sent meanwhile."""
        if not run.config.option.lava_offline:
            self._older.begin()

    def keep(self, run: Run) -> None:
        """Put the results into the spool, for a process that ends here and now. Trouble is told by its events."""
        with suppress(LavaError):
            if self.choices:
                self._keep(run)

    def finish(self, run: Run, status: int) -> int:
        """Keep, send, and give the exit status. Results are written and boards are free by now; nothing is raised."""
        older = self._older.end()
        if older:
            run.events.emit(f"older runs: {older}")
        if not self.choices:
            return status
        try:
            with run.events.phase("submit", sinks=[choice.name for choice in self.choices]):
                self._submit(run, status)
        except LavaError:
            pass  # the phase has told it
        except KeyboardInterrupt:
            self.problem = "submitting was interrupted"
        except Exception as error:  # a bug of ours must not cost a run its end
            self.problem = self.secrets.mask(f"submitting failed: {type(error).__name__}: {error}")
        with suppress(OSError):
            for removed in self._spool.prune():
                run.events.emit(f"removed from what was sent, by age or size: {removed}")
        if run.config.option.lava_submit_strict and (self.problem or not self._all_sent):
            return status or int(ExitStatus.TESTS_FAILED)
        return status

    def hurry(self) -> None:
        """A signal came: whoever waits for servers stops. To be called in the main thread only."""
        if self._waiting:
            raise KeyboardInterrupt

    def told(self, run: Run) -> Iterator[tuple[str, str]]:
        """A title and a line for each sink, and the command that does what is left."""
        for outcome in self._outcomes:
            yield outcome.status, line(outcome)
        if self.problem:
            yield "problem", self.problem
        if self.choices and not self._kept:
            yield "later", f"pytest-lava submit {shlex.quote(str(run.folder))}"  # the spool may be what is wrong
        elif any(outcome.status == "waiting" for outcome in self._outcomes):
            yield "later", waiting_command(self._spool.folder)
        if refused := [outcome.item for outcome in self._outcomes if outcome.status == "failed"]:
            yield "mended?", refused_command(self._spool.folder, refused)
        if older := self._older.told:
            yield "older", older

    def close(self) -> None:
        """Give back the environment."""
        os.environ.update(self._hidden)
        self._hidden.clear()

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _all_sent(self) -> bool:
        return bool(self._outcomes) and all(outcome.status == "sent" for outcome in self._outcomes)

    def _submit(self, run: Run, status: int) -> None:
        patience = _patience(run.config, status)
        whole = Deadline.after(patience)  # people wait for the keeping too
        items = self._keep(run)
        failed: list[Try] = []
        tries = max((board.model.retry.submit for target in run.plan.targets for board in target.request.candidates),
                    default=1)  # fmt: skip
        sender = Sender(self._spool, self._registry, self.secrets, failed.append)
        deadline = Deadline(max(whole.at, Deadline.after(patience / 2).at))
        self._say(run, deadline)
        self._waiting = True
        otherwise = "" if deadline.expired else "it had not answered when it was interrupted"
        try:
            for item in items if not deadline.expired else ():
                sender.send(item, deadline, tries=tries, at_once=True)
            otherwise = ""
        finally:
            self._waiting = False
            wanted = self.stored
            self._outcomes = [
                one
                for item in items
                for one in sender.outcomes(item, otherwise)
                if any(one.entry.is_for(each) for each in wanted)
            ]
            _tell_tries(run, failed, tries)
        if not self._all_sent:
            left = next(outcome for outcome in self._outcomes if outcome.status != "sent")
            raise InfrastructureError(f"{left.sink}: {left.reason}")

    def _keep(self, run: Run) -> list[Any]:
        results = Results(run.uuid, run.folder, run.plan.bundle)
        try:
            if not run.written:
                raise InfrastructureError("they could not be written")
            items = self._spool.add(results, self.choices)
        except OSError as error:
            self.problem = f"the results could not be kept to be submitted: {error}"
            raise of_this_machine(self.problem, error) from None
        except LavaError as error:
            self.problem = f"the results could not be kept to be submitted: {error}"
            raise
        self._kept = True
        return items

    def _say(self, run: Run, deadline: Deadline) -> None:
        """Why nothing seems to happen, where that may take its time."""
        terminal = run.config.pluginmanager.getplugin("terminalreporter")
        if terminal and terminal.verbosity >= 0 and deadline.remaining() > _INTERRUPTED:
            terminal.ensure_newline()
            names = ", ".join(choice.name for choice in self.choices)
            terminal.write_line(f"submitting to {names} (for at most {deadline.remaining():.0f} s, --submit-wait)")


def _patience(config: pytest.Config, status: int) -> float:
    """Seconds that sending may take now; 0: nothing is tried."""
    if config.option.lava_offline:
        return 0.0
    wait: float | None = config.option.lava_submit_wait
    if wait is None:
        terminal = config.pluginmanager.getplugin("terminalreporter")  # only now: it is made after us
        elsewhere = _ON_TERMINAL if getattr(terminal, "isatty", False) else _ELSEWHERE
        wait = _IN_CI if os.environ.get("CI") else elsewhere
    interrupted = status == pytest.ExitCode.INTERRUPTED or status > 128
    return min(wait, _INTERRUPTED) if interrupted else wait


def _tell_tries(run: Run, failed: Sequence[Try], tries: int) -> None:
    """Here and not as they fail: a journal is for one thread."""
    for one in failed if run.journal is not None else ():
        assert run.journal is not None
        run.journal.write(
            "attempt", target="", phase="submit", what=one.sink, number=one.number, of=tries, last=one.last,
            error=asdict(one.error), start=one.start, seconds=round(one.seconds, 6), item="",
        )  # fmt: skip
