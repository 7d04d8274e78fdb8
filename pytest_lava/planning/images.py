"""The images of a plan: what options name, or a board's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import Artefact
from pytest_lava.plan import BoardRequest, ImageRequest
from pytest_lava.planning.mistakes import Mistakes, existing

__all__ = ["default_image", "given_images", "own_file"]


def own_file(request: BoardRequest, key: str, folders: Sequence[Path]) -> Path | None:
    """The board's own kernel, image and so on (``key`` of ``[defaults]``), whether it is there or not.

    ``{cache}`` is the first of ``folders`` that has it, else the last.
    """
    board = request.candidates[0]
    value = getattr(board.model.defaults, key)
    if not value:
        return None
    found = [_newest(board.path.parent / Path(value.replace("{cache}", str(folder)))) for folder in folders]
    return next((path for path in found if path.is_file()), found[-1])


def _newest(pattern: Path) -> Path:
    """The newest file that a default with ``*`` matches; as it is if there is none."""
    if "*" not in pattern.name:
        return pattern
    return max(pattern.parent.glob(pattern.name), key=lambda path: path.stat().st_mtime_ns, default=pattern)


def default_image(request: BoardRequest, folders: Sequence[Path]) -> ImageRequest | None:
    """The lab's own image of a board: what it is given when the user names none."""
    path = own_file(request, "image", folders)
    if path is None:
        return None
    if not path.is_file():
        hint = request.candidates[0].model.defaults.hint
        advice = f"run `{hint}`, or give" if hint else "give"
        raise ConfigurationError(f"board {request.name!r} has no image, {path} is not there: {advice} --image")
    return ImageRequest(path.name, {"": Artefact.of(path)}, given=False)


def given_images(texts: Sequence[str], mistakes: Mistakes) -> list[ImageRequest]:
    """Named parts (``boot=PATH``) form one image; each unnamed one is an image of its own."""
    named: dict[str, Artefact] = {}
    unnamed: list[Artefact] = []
    for text in texts:
        part, equals, value = text.partition("=")
        if equals and part.isidentifier() and not Path(text).exists():
            if part in named:
                mistakes.add(f"--image {part}= was given twice: name each part once")
            elif found := mistakes.collect(existing, value, f"--image {part}="):
                named[part] = found
        elif found := mistakes.collect(existing, text, "--image "):
            unnamed.append(found)
    if named and len(unnamed) > 1:
        mistakes.add("--image: several unnamed images cannot be combined with named parts; name them all")
    if named:
        parts = {**({"": unnamed[0]} if unnamed else {}), **named}
        return [ImageRequest("+".join(one.name for one in parts.values()), parts)]
    return [ImageRequest(one.name, {"": one}) for one in unnamed]
