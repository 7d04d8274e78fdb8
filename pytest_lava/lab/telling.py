"""What the journal is told of a run's begin, its targets and its boots: the same of tests and of health checks."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_lava.board.record import BootRecord
from pytest_lava.config.boards import BoardConfig
from pytest_lava.plan import BundleContent, ImagePlan, KernelPlan, Prepared

__all__ = ["told_boot", "told_content", "told_run", "told_target"]


def told_run(argv: Sequence[str], rootdir: Path, boards: Sequence[str], **versions: str) -> dict[str, Any]:
    """The fields of its first line; ``versions`` of whatever else takes part."""
    return {
        "argv": list(argv),
        "rootdir": str(rootdir),
        "host": socket.gethostname(),
        "versions": {"pytest-lava": version("pytest-lava"), **versions, "python": platform.python_version()},
        "boards": list(boards),
        "platform": sys.platform,
        "pid": os.getpid(),
    }


def told_content(content: BundleContent) -> dict[str, Any]:
    """More fields of that line: what the bundle is to hold, so that it can be built again."""
    return {
        "attachment_limit": content.attachment_limit,
        **({"tags": list(content.tags)} if content.tags else {}),
        **({"public_url": content.public_url} if content.public_url else {}),
    }


def told_boot(record: BootRecord) -> dict[str, Any]:
    """The fields of the line of a boot, or of a board that was resumed."""
    return {
        "boot_id": record.boot_id,
        **({"resumed": record.resumed} if record.resumed else {}),
        "seconds": round(record.seconds, 6),
        "uname": {"release": record.release, "version": record.version, "machine": record.machine},
        "console": list(record.console),
        **({"inventory": told} if (told := record.inventory.told()) else {}),
    }


def told_target(target: str, config: BoardConfig, prepared: Prepared) -> dict[str, Any]:
    """The fields of the line of a target, by its id: the board, and all that it was given."""
    return {
        "board": config.name,
        "target": target,
        "device_type": config.device_type,
        "arch": config.arch,
        "emulated": config.model.emulated,
        "features": list(config.model.features),
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
