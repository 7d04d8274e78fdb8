"""The ``boot`` actions of a LAVA v2 job: how far a board boots, and how one logs in there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_lava.jobs.deploy import chosen
from pytest_lava.jobs.job import Booted, Login
from pytest_lava.jobs.keys import BOOTS, PLACES
from pytest_lava.jobs.runs import Goal
from pytest_lava.jobs.table import Table

__all__ = ["read_boot"]

#: commands that start another shell; in ours they would end at once
_ANOTHER_SHELL = re.compile(r"(?:sudo\s+)?(?:su|-?sh|bash)(?:\s+-l?)?(?:\s+root)?|sudo\s+(?:-[isE]+|bash|sh|su\b.*)")
_GOALS: Mapping[str, Goal] = {"bootloader": "bootloader", "monitor": "kernel"}


def read_boot(table: Table, limit: float | None, before: Booted | None = None) -> Booted:
    """One action; ``limit`` is that of actions which have none of their own, ``before`` the boot before it in the job,
    whose prompts LAVA still knows. ``ConfigurationError``."""
    method = chosen(table, "method", BOOTS)  # first: keys of a method that is not there say nothing more
    table.known("boot", PLACES["boot"])
    if isinstance(table.data.get("commands"), list) and (table.data["commands"] or method != "bootloader"):
        raise table.wrong(
            "commands of a boot loader are not taken from a job: write them into the board file ([boot] commands)",
            "commands",
        )
    goal: Goal = _GOALS.get(method, "shell")
    prompts = table.regexes("prompts")
    again = goal == "shell" and not prompts and "auto_login" not in table
    if again and (before is None or before.goal != "shell"):
        goal = "kernel"  # LAVA awaits no prompt then
    return Booted(
        goal=goal,
        direct=method in ("qemu", "monitor"),
        login=_login_of(table, prompts, before if again else None) if goal == "shell" else Login(),
        limit=table.seconds("timeout") or limit,
        tries=table.number("failure_retry"),
    )


def _login_of(table: Table, prompts: tuple[str, ...], before: Booted | None) -> Login:
    return before.login if before is not None else _login(table, prompts)


def _login(table: Table, prompts: tuple[str, ...]) -> Login:
    if "auto_login" not in table:
        return Login(prompts)
    login = table.table("auto_login")
    login.known("auto_login", PLACES["auto_login"])
    user = login.needed("username")
    return Login(
        prompts=prompts,
        login_prompt=login.regex("login_prompt"),
        user=user,
        password_prompt=login.regex("password_prompt") if "password_prompt" in login else None,
        password=login.text("password") if "password" in login else None,
        commands=_commands(login, user),
    )


def _commands(login: Table, user: str) -> tuple[str, ...]:
    found = []
    for number, command in enumerate(login.texts("login_commands")):
        if not _ANOTHER_SHELL.fullmatch(command.strip()):
            found.append(command)
        elif user != "root":
            raise login.wrong(
                f"{command!r} starts another shell than the one that is logged in to: log in as root",
                "login_commands", number,
            )  # fmt: skip
    return tuple(found)
