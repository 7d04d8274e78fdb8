"""Deploys nothing: the board runs what it has."""

from __future__ import annotations

from collections.abc import Collection

from pytest_lava.config.model import Strict
from pytest_lava.deadline import Deadline
from pytest_lava.deploy.api import DeployContext, Deployment
from pytest_lava.errors import ConfigurationError
from pytest_lava.plan import ImagePlan, KernelPlan

__all__ = ["NoDeploy"]


class NoDeploy:
    """A board as it stands."""

    class Options(Strict):
        """There are none."""

    #: whether ``--kernel`` and ``--image`` can be honoured; asked before a board is touched
    takes_kernel = False
    takes_image = False

    def __init__(self, options: Options, context: DeployContext) -> None:
        self._board = context.board

    def check(self, kernel: bool, images: Collection[str]) -> None:
        """A kernel or an image that was asked for is an error, not silently left out."""
        if kernel or images:
            raise ConfigurationError(f'board {self._board!r} has deploy = "none": it cannot take a kernel or an image')

    def deploy(self, kernel: KernelPlan | None, image: ImagePlan | None, deadline: Deadline) -> Deployment:
        """Nothing to do."""
        self.check(bool(kernel and kernel.given), image.parts if image else ())
        return Deployment()

    def close(self) -> None:
        """Nothing to take away."""
