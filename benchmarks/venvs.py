"""Virtual environments of the competitors, made once below the user's cache: nobody pays for another's plugins."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from pytest_lava.images.cache import cache_dir

__all__ = ["CHECKOUT", "labgrid", "ours"]

CHECKOUT = Path(__file__).resolve().parent.parent


def ours() -> Path:
    """``bin`` of an environment with this checkout (editable) and what it depends on, nothing else."""
    digest = hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes()).hexdigest()
    return _made("lava", digest, "-e", str(CHECKOUT))


def labgrid() -> Path:
    """``bin`` of an environment with labgrid 26 and pytest."""
    return _made("labgrid", "", "labgrid==26.0.1", "pytest")


def _made(name: str, digest: str, *packages: str) -> Path:
    folder = cache_dir() / "bench-venvs" / name
    stamp = folder / ".made-of"
    content = f"{sys.version}\n{digest}\n{' '.join(packages)}\n"
    if not (stamp.is_file() and stamp.read_text() == content):
        print(f"making {folder} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        stamp.write_text(content)
    return folder / "bin"
