"""Runs a LAVA test definition on a board as LAVA does: sent, installed, its steps in one shell, its signals read."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_lava.deadline import Deadline
from pytest_lava.errors import CommandTimeout, LavaError, OperationFailed, TestError, Timeout, first_line
from pytest_lava.programs import run
from pytest_lava.suites.api import STDOUT, Attachment, Case, Report, Surroundings
from pytest_lava.suites.clones import clone_all
from pytest_lava.suites.definition import Definition, assignments
from pytest_lava.suites.reading import Reader
from pytest_lava.suites.repository import Archive, archive, crlf_scripts, needed, root_of
from pytest_lava.suites.signals import sealed

__all__ = ["DefinitionSuite"]

_HELPERS = Path(__file__).parent / "helpers"
_MOST = 64 << 20  # bytes of output that are proven; more comes live only
_SHORT = 120.0  # seconds for what is small
_LAST = 15  # lines of output in a message
_COMMAND = 200  # characters of a command in one
#: where on the board there is room for programs that can be run
_PLACES = '"${TMPDIR:-/tmp}" /tmp /var/tmp /run /dev/shm /data/local/tmp /root /'
#: LAVA takes the user's shell, bash where a distribution has it; others than these do not speak sh
_SHELL = (
    "case ${SHELL##*/} in bash|dash|ash|ksh|mksh) [ -x $SHELL ] && echo $SHELL || echo sh;; "
    "*) [ -x /bin/bash ] && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu|fedora|rhel|centos)' /etc/os-release 2>/dev/null && "
    "echo /bin/bash || echo sh;; esac"
)
#: where LAVA's tests look for what lava-wait got
_MESSAGES = "/tmp/lava_multi_node_cache.txt"
_FIND = (
    "for d in %s; do case $d in *' '*) continue;; esac; t=$d/.lava-$$; "
    "{ printf '#!/bin/sh\\nexit 0\\n' >$t && chmod 755 $t && $t; } 2>/dev/null && { rm -f $t; echo $d; exit 0; }; "
    "rm -f $t 2>/dev/null; done; exit 1"
)


@dataclass(frozen=True)
class _Places:
    """Folders on the board: of this run, of the repository's copy in it, of results."""

    run: str
    repo: str
    results: str

    @property
    def end_all(self) -> str:
        """What ends all processes of the run that are left: each has its folder in its environment."""
        return (
            f"for s_ in TERM KILL; do for p_ in $(grep -ls LAVA_RESULT_DIR={self.results} /proc/[0-9]*/environ); do "
            "p_=${p_#/proc/}; kill -$s_ ${p_%/environ}; done; done 2>/dev/null"
        )


class DefinitionSuite:
    """A :class:`~pytest_lava.suites.api.Suite`."""

    def __init__(self, definition: Definition, *, kmsg: bool = False) -> None:
        self.definition = definition
        self.name = definition.name
        self.source = definition.path
        self.expected = definition.expected
        self.metadata: Mapping[str, str] = definition.metadata
        self._kmsg = kmsg

    def run(self, surroundings: Surroundings, report: Report) -> None:
        """See :meth:`pytest_lava.suites.api.Suite.run`."""
        _Running(self.definition, surroundings, report, kmsg=self._kmsg).run()


class _Running:
    """One run of one definition on one board."""

    def __init__(self, definition: Definition, surroundings: Surroundings, report: Report, *, kmsg: bool) -> None:
        self._definition, self._around, self._kmsg = definition, surroundings, kmsg
        self._shell = surroundings.shell
        self._deadline = Deadline.after(surroundings.timeout)
        self._report = report
        self._reader = Reader(self._judge, definition.fixup, definition.pattern)
        self._root = definition.root or root_of(definition.path, definition.steps)
        self._forget: Callable[[], object] = lambda: None
        steps = [*definition.steps, *definition.install_steps]
        self._files = needed(self._root, steps) if definition.text is None else ()

    def run(self) -> None:
        with ExitStack() as ending:
            self._run(self._send(ending), ending)

    def _run(self, places: _Places, ending: ExitStack) -> None:
        error: LavaError | None = None
        try:
            if self._definition.installs and not self._around.skip_install:
                self._install(places)
            self._steps(places)
        except LavaError as broken:
            error = broken
        if error is None or not error.recovers:
            self._collect(places)
            self._tidy(places)
            ending.pop_all()  # there is nothing left to end
            self._forget()
        self._reader.abandon()
        if error is not None and (error.recovers or isinstance(error, Timeout)):
            self._reader.cut(first_line(error))
            error.args = (f"{error}{self._stopped()}",)
        for text in self._reader.events:
            self._around.tell(f"lava-test-event: {text}")
        for text in self._reader.remarks:
            self._around.tell(f"{self._definition.name}: {text}")
        self._missing(error)
        if error is not None:
            raise error

    def _end_here(self, places: _Places) -> None:
        """Its shell is gone, or somebody is in a hurry; but this machine is there."""
        if Path(places.run).is_dir():
            run(["sh", "-c", places.end_all], Deadline.after(_SHORT), cwd=self._around.folder)
            shutil.rmtree(places.run, ignore_errors=True)
        self._forget()

    # -- before -------------------------------------------------------------------------------------------------

    def _send(self, ending: ExitStack) -> _Places:
        """Bring helpers and repository to the board; what is there from an earlier definition is not sent again."""
        shell = self._shell
        found = shell.run(_FIND % _PLACES, timeout=_SHORT)
        if found.returncode:
            raise OperationFailed(
                "no folder of the board takes programs that can be run, so no definition runs there: mount a tmpfs on "
                "/tmp without noexec"
            )
        base = found.stdout.strip().rstrip("/")
        made = self._archive()
        where = f"{base}/lava-{made.key}-{secrets.token_hex(4)}"
        places = _Places(where, f"{where}/repo", f"{where}/results")
        if self._around.local:  # others may do the same here, and nothing may stay behind
            tar, old = f"{where}/sent.tar", ""
            self._forget = self._around.guard(f"{places.end_all}; rm -rf {where}")
            ending.callback(self._end_here, places)
        else:  # a board that died under a definition may still have its folder
            tar, old = f"{base}/lava-{made.key}.tar", f"{base}/lava-{'?' * len(made.key)}-*"
        shell.check(f"rm -rf {old}; mkdir -p {where}/repo {where}/results/attachments", timeout=_SHORT)
        # two parts of equal files in one folder would be taken for one: each local run has a folder of its own
        shell.put(made.path, tar)
        made.path.unlink()
        shell.check(f"tar -xf {tar} -C {where}", timeout=_SHORT)
        text = self._definition.text
        told = self._definition.path.read_bytes() if text is None else text.encode()
        shell.write_bytes(f"{where}/repo/testdef.yaml", told, timeout=_SHORT)
        return places

    def _archive(self) -> Archive:
        folder, definition = self._around.folder, self._definition
        clones = folder / "clones"
        extra = [(f"bin/{file.name}", file) for file in sorted(_HELPERS.glob("lava-*"))]
        params = definition.with_params(self._around.params)
        steps = [*definition.install_steps, *definition.steps]
        extra += [(f"repo/{name}", file) for name, file in clone_all(definition.repositories, params, clones, steps)]
        made = archive(self._root, self._files, extra, folder / "sent.tar")
        shutil.rmtree(clones, ignore_errors=True)
        return made

    def _head(self, places: _Places) -> str:
        """What every script of ours begins with: environment, helpers and parameters, as LAVA's."""
        definition = self._definition
        variables = {
            "LAVA_RESULT_DIR": places.results,
            "TESTRUN_ID": f"0_{definition.name}",
            **({"KMSG": "true"} if self._kmsg else {}),
            **self._around.environment,
        }
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        params = assignments(definition.with_params(self._around.params))
        return f"export PATH={places.run}/bin:$PATH\n{exports}{params}"

    # -- running ------------------------------------------------------------------------------------------------

    def _install(self, places: _Places) -> None:
        """As in LAVA without ``set -e``, so that its last command decides."""
        definition = self._definition
        distro = '$(. /etc/os-release 2>/dev/null; echo "$ID $ID_LIKE")'
        lines = [*(f"lava-add-keys {one}" for one in definition.keys)]
        lines += [f"lava-add-sources {shlex.quote(one)}" for one in definition.sources]
        if definition.deps:
            lines.append(f"lava-install-packages {' '.join(definition.deps)}")
        for name, deps in definition.distro_deps.items():
            if deps:
                lines.append(f'case " {distro} " in *" {name} "*) lava-install-packages {" ".join(deps)};; esac')
        script = f"{self._head(places)}cd {places.repo}\n" + "\n".join([*lines, *definition.install_steps]) + "\n"
        status = self._script(places, "install.sh", script, "install.log", "sh")
        if status:
            raise OperationFailed(
                f"its installation ended with status {status}, so nothing was run: see install.log, or leave it out by "
                f"--skip-install{self._shown()}"
            )

    def _steps(self, places: _Places) -> None:
        definition, uuid = self._definition, places.run.rpartition("/")[2]
        name = re.sub(r"[^\w.-]", "-", definition.name)
        signed = f"0_{name} {uuid}"
        body = "\n".join(map(_escaped, definition.steps))
        script = (
            f'{self._head(places)}cd {places.repo}\n[ -e uuid ] || echo "${{LAVA_JOB_ID}}_1.1" >uuid\n'
            f"echo '{sealed('STARTRUN', signed)}'\nset -x\n{body}\n"
            f"{{ set +x; }} 2>/dev/null\necho '{sealed('ENDRUN', signed)}'\n"
        )
        status = self._script(places, "run.sh", script, STDOUT, f"$({_SHELL}) -e")
        reader = self._reader
        if reader.raised:
            raise TestError(f"lava-test-raise: {reader.raised}")
        if status:
            raise OperationFailed(self._told(status))
        if not reader.ended:
            raise OperationFailed(
                f"a step ended the definition by 'exit 0', so what follows it did not run{self._shown()}"
            )

    def _script(self, places: _Places, name: str, script: str, log: str, shell_is: str) -> int:
        """Run a script in the repository's copy, its output to a log and to the reader; its status."""
        shell, file = self._shell, f"{places.run}/{name}"
        shell.write_bytes(file, script.encode(), mode=0o755, timeout=_SHORT)
        self._reader.begin()
        with (self._around.folder / log).open("wb") as kept:

            def hear(data: bytes) -> None:
                kept.write(data)
                self._reader.feed(data)

            try:
                result = shell.run(
                    # descriptors beyond the third are the agent's own, which waits for their end
                    f"cd {places.repo} && {shell_is} {file} 2>&1 3>&- 4>&- 5>&-; s=$?; {places.end_all}; exit $s",
                    timeout=self._deadline.remaining(),
                    on_output=hear,
                    max_output=_MOST,
                )
            except CommandTimeout as error:  # it names a command of ours
                over = f"the definition is over its limit of {self._around.timeout:g} s (--suite-timeout)"
                raise CommandTimeout(over, evidence=error.evidence) from error
        self._reader.finish(result.stdout_bytes)
        return result.returncode

    def _told(self, status: int) -> str:
        """Why steps ended early, as far as their status tells."""
        if self._reader.ended:  # somebody killed the shell around them
            return f"all steps ran, and then their shell returned {status}{self._shown()}"
        said = f"a step returned {status} and so ended the definition"
        if status > 128:
            said += f" (signal {status - 128})"
        if status in (126, 127):
            said += {126: ": a program cannot be run", 127: ": a program, or the interpreter of a script, is missing"}[
                status
            ]
            if bad := crlf_scripts(self._files):
                said += f"; {bad[0].relative_to(self._root)} has line ends of DOS (CRLF)"
        last = self._last_command()
        said += f"; its last command: {last}" if last else ""
        return said + self._shown()

    def _stopped(self) -> str:
        """Where a definition was that did not come to its end."""
        last = self._last_command()
        return f"\n\nits last command, behind which nothing ran: {last}" if last else ""

    def _last_command(self) -> str:
        traced = [line[2:] for line in self._tail() if line.startswith("+ ")]  # of set -x
        return traced[-1][:_COMMAND] if traced else ""

    def _tail(self) -> list[str]:
        """The end of the log."""
        logs = sorted(self._around.folder.glob("*.log"), key=lambda log: log.stat().st_mtime)
        if not logs:
            return []
        with logs[-1].open("rb") as log:
            log.seek(max(0, logs[-1].stat().st_size - 8192))
            return log.read().decode(errors="replace").splitlines()

    def _shown(self) -> str:
        """The last lines, for a message."""
        lines = self._tail()[-_LAST:]
        return "\n\nlast lines of its output:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""

    # -- after --------------------------------------------------------------------------------------------------

    def _collect(self, places: _Places) -> None:
        """Files that helpers attached."""
        told = self._shell.run(
            "for d in *; do [ ! -r $d/about ] || { echo $d; cat $d/about; }; done",
            cwd=f"{places.results}/attachments",
            timeout=_SHORT,
        ).stdout.splitlines()
        for number, case, name, mime in zip(*(told[at::4] for at in range(4)), strict=False):
            local = self._around.folder / f"{number}-{re.sub(r'[^a-zA-Z0-9_.-]', '_', name)}"
            self._shell.get(f"{places.results}/attachments/{number}/data", local)
            self._around.attach("" if case == "-" else case, Attachment(name, local, mime))

    def _tidy(self, places: _Places) -> None:
        """Nothing of it keeps running, and no file of the run stays."""
        messages = f"[ ! -d {places.results}/.messages ] || rm -f {_MESSAGES}"
        self._shell.run(f"{places.end_all}; {messages}; cd / && rm -rf {places.run}", timeout=_SHORT)

    def _judge(self, case: Case) -> None:
        """Where cases are expected, another one is a failure, as in LAVA."""
        if (expected := self._definition.expected) and case.id not in expected:
            why = f"it is not among the cases that are expected; it said {case.result}"
            case = replace(case, result="fail", message=why)
        self._report(case)

    def _missing(self, error: LavaError | None) -> None:
        """Cases that had to come."""
        for name in self._definition.expected:
            if name not in self._reader.seen:
                why = "it is expected, and the definition ended without it"
                if error is not None:
                    why += f": {str(error).splitlines()[0]}"
                now = self._reader.now()
                self._report(Case(name, "fail", now, now, why))


def _escaped(step: str) -> str:
    """As LAVA does: ``$1`` in what a helper runs is that command's (awk's), not the script's."""
    return re.sub(r"\$(\d+)\b", r"\\$\1", step) if "--cmd" in step or "--shell" in step else step
