"""What the journal is told of a target: the board, and all that it was given."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pytest_lava.config.boards import BoardConfig
from pytest_lava.plan import ImagePlan, KernelPlan, Prepared, Target

__all__ = ["told_target"]


def told_target(target: Target, config: BoardConfig, prepared: Prepared) -> dict[str, Any]:
    """The fields of its line."""
    return {
        "board": config.name,
        "target": target.id,
        "device_type": config.device_type,
        "arch": config.arch,
        "emulated": config.model.emulated,
        "kernel": _kernel(prepared.kernel) if prepared.kernel else None,
        "image": _image(prepared.image) if prepared.image else None,
        "added": [asdict(one) for one in prepared.added],
    }


def _kernel(kernel: KernelPlan) -> dict[str, Any]:
    return {
        "name": kernel.name,
        "path": str(kernel.file.path),
        "sha256": kernel.sha256,
        "release": kernel.file.release,
        "build": kernel.file.build,
        "arch": kernel.file.arch,
        "kind": kernel.file.kind,
        "given": kernel.given,
        "origin": asdict(kernel.origin) if kernel.origin else None,
    }


def _image(image: ImagePlan) -> dict[str, Any]:
    return {
        "name": image.name,
        "path": ", ".join(str(path) for path in image.parts.values()),
        "sha256": image.sha256,
    }
