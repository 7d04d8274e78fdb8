"""No power control: the board is running already and nobody switches it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pytest_lava.deadline import Deadline
from pytest_lava.errors import PowerError
from pytest_lava.power.api import PowerContext

__all__ = ["NoPower"]


class NoPower:
    """Implements :class:`pytest_lava.power.api.Power` for ``power.method = "none"``."""

    class Options(BaseModel):
        """Nothing to set."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, options: Options, context: PowerContext) -> None:
        self._context = context

    def check(self) -> None:
        """Always well."""

    def on(self, deadline: Deadline) -> None:
        """The board is taken to be on."""

    def off(self, deadline: Deadline) -> None:
        """The board is left running."""

    def cycle(self, deadline: Deadline) -> None:
        """``PowerError``: recovery must not believe that something happened."""
        raise PowerError(
            f"board {self._context.board} has no power control: switch it off and on by hand, "
            "or give its board file a [power] method"
        )
