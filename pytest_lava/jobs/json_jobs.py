"""The JSON jobs of LAVA's first years (2011 to 2014), as far as what they ask for is still there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_lava.arguments import without_secret
from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.jobs.checkouts import Wanted
from pytest_lava.jobs.job import Booted, Deployed, Job, Login, Stage, stage_key
from pytest_lava.jobs.runs import Block, BootSuite, Changes, JobSuite, Place, SourcedDefinition
from pytest_lava.jobs.table import Table
from pytest_lava.suites.api import RESULTS, Suite
from pytest_lava.suites.definition import Definition, Pattern
from pytest_lava.suites.running import DefinitionSuite
from pytest_lava.suites.yamlfile import YamlFile

__all__ = ["COMMANDS", "is_json_job", "take_json_job"]

_ANDROID = "Android images are not deployed by jobs: use --image with a board that takes them"
_LAVA_TEST = "it needs the program lava-test of 2011: name a test definition by lava_test_shell, or a --command"
#: command -> "" if it is run, else why it is not
COMMANDS: Mapping[str, str] = {
    "deploy_linaro_image": "",
    "deploy_linaro_kernel": "",
    "boot_linaro_image": "",
    "boot_master_image": "",
    "lava_test_shell": "",
    "lava_command_run": "",
    "submit_results": "",
    "submit_results_on_host": "",
    "lava_test_install": _LAVA_TEST,
    "lava_test_run": _LAVA_TEST,
    "add_apt_repository": "write it into the steps of a test definition",
    "deploy_linaro_android_image": _ANDROID,
    "boot_linaro_android_image": _ANDROID,
    "lava_android_test_install": _ANDROID,
    "lava_android_test_run": _ANDROID,
    "lava_android_test_run_custom": _ANDROID,
    "lava_android_test_run_monkeyrunner": _ANDROID,
}
#: parameters that would change what is tested
_REFUSED: Mapping[str, str] = {
    "hwpack": "an image is no longer made of a hardware pack: give the whole one as 'image'",
    "kernel_matrix": "a kernel is given by deploy_linaro_kernel, or by --kernel",
    "nfsrootfs": "a root file system over NFS is not served",
    "bootloader": "firmware is the board's own",
    "firmware": "firmware is the board's own",
    "dtbs": "name one 'dtb'",
    "boot_cmds": "commands of a boot loader are not taken from a job: write them into the board file ([boot] commands)",
}
#: what lava_command_run took for a result
_PARSER = r"(?P<test_case_id>.*-*)\s+:\s+(?P<result>(PASS|pass|FAIL|fail|SKIP|skip|UNKNOWN|unknown))"
_FIXUP = {"PASS": "pass", "FAIL": "fail", "SKIP": "skip", "UNKNOWN": "unknown"}
#: runs a command as a case; no step of its own shows LAVA's word, in which dollars would be escaped
_RUN = 'lava_run() { name="${1}"; shift; lava-test-case "$name" --shell "$@"; }'


def is_json_job(data: object) -> bool:
    """Whether a job names its actions as these did."""
    actions = data.get("actions") if isinstance(data, dict) else None
    return isinstance(actions, list) and any(
        isinstance(one, dict) and isinstance(one.get("command"), str) for one in actions
    )


def take_json_job(file: YamlFile) -> Job:
    """The job in a file that is meant to be one; ``ConfigurationError`` has a line for each mistake."""
    return _Reader(file).job()


@dataclass
class _Reader:
    _file: YamlFile
    _deployed: Deployed = field(default_factory=Deployed)
    _login: Login = field(default_factory=Login)
    _suites: list[tuple[Suite, Block]] = field(default_factory=list)
    _remarks: list[str] = field(default_factory=list)
    _attributes: dict[str, str] = field(default_factory=dict)
    _boots: bool = False

    def job(self) -> Job:
        table, wrong = Table(self._file, self._file.data), list[str]()
        try:
            actions = list(table.tables("actions"))
            if "device_group" in table:
                raise table.wrong("a job of several boards is not run: write one job for each", "device_group")
        except ConfigurationError as error:
            actions, wrong = [], [str(error)]
        for action in actions:
            try:
                self._action(action)
            except ConfigurationError as error:
                wrong.append(str(error))
        if wrong:
            raise ConfigurationError("\n".join(dict.fromkeys(wrong)))
        if not self._suites and self._boots:
            self._suites.append((BootSuite(self._file.path), Block(str(self._file.path))))
        if not self._suites:
            what = "there is no boot_linaro_image, lava_test_shell or lava_command_run"
            raise table.wrong(f"nothing of it runs on a board: {what}", "actions")
        name, device = table.text("job_name"), table.text("device_type") or table.text("target")
        return Job(
            name=name,
            path=self._file.path,
            device_type=device,
            stages=(self._stage(),),
            limit=_seconds(table),
            attributes={**self._attributes, "job_name": name, "job_device_type": device},
            remarks=tuple(self._remarks),
        )

    def _stage(self) -> Stage:
        key, taken = stage_key(self._file.path, 1), dict[str, int]()
        suites = []
        for suite, block in self._suites:
            taken[suite.name] = number = taken.get(suite.name, 0) + 1
            name = suite.name if number == 1 else f"{suite.name}-{number}"
            suites.append(JobSuite(suite, name, Place(key, block), {}))
        return Stage(key, self._deployed, Booted(direct=True, login=self._login), tuple(suites))

    def _action(self, action: Table) -> None:
        command, parameters = action.needed("command"), action.table("parameters")
        if command not in COMMANDS:
            raise action.wrong(f"the action {command!r} is not known: there are {', '.join(COMMANDS)}", "command")
        if why := COMMANDS[command]:
            raise action.wrong(f"the action {command!r} is not supported: {why}", "command")
        for key, why in _REFUSED.items():
            if key in parameters:
                raise parameters.wrong(f"{key!r} of {command} is not supported: {why}", key)
        self._attributes |= {f"job.{name}": text for name, text in action.strings("metadata").items()}
        self._boots |= command.startswith("boot_")
        if command.startswith("deploy_linaro"):
            self._deploy(parameters)
        elif command in ("lava_test_shell", "lava_command_run"):
            block = Block(f"{self._file.path}:{action.line()}", _seconds(parameters))
            made = self._definitions(parameters) if command == "lava_test_shell" else [self._commands(parameters)]
            for _ in range(parameters.number("iterations") or 1):
                self._suites += [(suite, block) for suite in made]
        elif command.startswith("submit_results"):
            server, stream = without_secret(parameters.text("server")), parameters.text("stream")
            self._remarks.append(
                f"{self._file.path.name}: results stay in the run folder; --submit sends them (the job names {server} "
                f"{stream})"
            )

    def _deploy(self, table: Table) -> None:
        parts = {"kernel": "kernel", "ramdisk": "initrd", "dtb": "dtb"}
        changes: dict[str, Any] = {part: _located(table, key) for key, part in parts.items() if key in table}
        image = next((_located(table, key) for key in ("image", "rootfs") if key in table), "")
        images = {"rootfs": image} if image else {}
        if not changes and not images:
            raise table.wrong("there is nothing to deploy: give 'image', or 'kernel'")
        self._deployed = replace(self._deployed, images={**self._deployed.images, **images}, **changes)
        keys = ("login_prompt", "username", "password_prompt", "password")
        prompt, user, password_prompt, password = (table.text(key) or None for key in keys)
        self._login = Login((), prompt, user, password_prompt, password, table.texts("login_commands"))

    def _definitions(self, table: Table) -> list[Suite]:
        found: list[Suite] = []
        install = frozenset({"all"}) if table.text("skip_install").lower() == "true" else frozenset()
        if "testdef_repos" not in table and "testdef_urls" not in table:
            raise table.wrong("'testdef_repos' or 'testdef_urls' is missing: which definitions?")
        for entry in table.tables("testdef_repos") if "testdef_repos" in table else ():
            if "bzr-repo" in entry or "tar-repo" in entry:
                raise entry.wrong("only git repositories are cloned")
            path = entry.text("testdef", "lavatest.yaml")
            wanted = Wanted("git", entry.needed("git-repo"), path, entry.text("branch"), entry.text("revision"))
            changes = Changes(_stem(path), entry.strings("parameters"), skip_install=install)
            found.append(SourcedDefinition(self._file.path, entry.line(), wanted, changes))
        for number, url in enumerate(table.texts("testdef_urls")):
            name = Artefact.parse(url).name
            wanted, changes = Wanted("url", url, name), Changes(_stem(name), skip_install=install)
            line = table.line("testdef_urls", number)
            found.append(SourcedDefinition(self._file.path, line, wanted, changes))
        return found

    def _commands(self, table: Table) -> Suite:
        """A case for each command, by its status, and what the parser finds besides."""
        commands = table.texts("commands")
        if not commands:
            raise table.wrong("'commands' is missing")
        pattern, fixup = table.text("parser") or _PARSER, {**_FIXUP, **dict(_fixup(table))}
        try:
            regex = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise table.wrong(f"the parser is no regular expression: {error}", "parser") from None
        steps = (_RUN, *(f"lava_run {_case(command)} {shlex.quote(command)}" for command in commands))
        return DefinitionSuite(
            Definition("lava-command", self._file.path, steps, pattern=Pattern(regex, fixup), fixup=fixup, text="")
        )


def _fixup(table: Table) -> Iterator[tuple[str, str]]:
    """``["PASS:pass"]``, or a mapping."""
    value = table.data.get("fixupdict")
    pairs = (
        value.items() if isinstance(value, Mapping) else (text.partition(":")[::2] for text in table.texts("fixupdict"))
    )
    for word, result in pairs:
        if result not in RESULTS:
            raise table.wrong(f"{result!r} is no result: it is one of {', '.join(RESULTS)}", "fixupdict")
        yield str(word), str(result)


def _located(table: Table, key: str) -> str:
    try:
        artefact = Artefact.parse(text := table.needed(key))
    except ConfigurationError as error:
        raise table.wrong(str(error), key) from None
    if artefact.path is not None and not artefact.path.exists():
        raise table.wrong(f"there is no such file: {artefact.path}", key)
    return text


def _seconds(table: Table) -> float | None:
    found = table.number("timeout")
    return None if found is None else float(found)


def _stem(path: str) -> str:
    return re.sub(r"[^\w.-]+", "-", path.rpartition("/")[2].rpartition(".")[0]) or "lavatest"


def _case(command: str) -> str:
    return re.sub(r"[^\w.-]+", "-", command).strip("-")[:60] or "command"
