"""Commands and scripts of the options, checked."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_lava.commands.listing import read_command_file
from pytest_lava.commands.plan import OutOfTree
from pytest_lava.errors import ConfigurationError

if TYPE_CHECKING:
    from pytest_lava.planning.mistakes import Mistakes
    from pytest_lava.planning.planner import Options

__all__ = ["check_commands", "out_of_tree"]


def check_commands(option: str, commands: Sequence[str], example: str) -> None:
    """``ConfigurationError`` for what is no command that can be sent."""
    for command in commands:
        if not command.strip():
            raise ConfigurationError(f"{option} was given without a command: write {option} {example}")
        try:
            command.encode()
        except UnicodeEncodeError:  # names and reports are text
            raise ConfigurationError(
                f"{option} {command!r} is no UTF-8: write other bytes by their numbers, as in printf '\\377'"
            ) from None


def out_of_tree(options: Options, mistakes: Mistakes) -> OutOfTree:
    """What is to run besides ``--command``, and what is brought back."""
    mistakes.collect(check_commands, "--command", options.commands, "'uname -a'")
    mistakes.collect(check_commands, "--host-command", options.host_commands, "'ping -c 3 $LAVA_BOARD_IP'")
    for pattern in options.collect_files:
        if not pattern.startswith("/") or "\0" in pattern:
            mistakes.add(f"--collect-file {pattern!r}: give the whole path on the board: /var/log/messages, /tmp/*.log")
    files = [found for name in options.command_files if (found := mistakes.collect(read_command_file, name))]
    words = mistakes.collect(_words, options.script_args) or ()
    return OutOfTree(tuple(files), options.host_commands, options.collect_files, words)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigurationError(
            f"--script-args {text!r}: {str(error).lower()}: quote it as a shell wants it"
        ) from None
