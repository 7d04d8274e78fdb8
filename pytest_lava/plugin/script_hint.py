"""A script named without a board is told what it lacks. Imported in every run, so it imports nothing but pytest."""

from __future__ import annotations

from collections.abc import Generator

import pytest

__all__ = ["pytest_collection"]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """pytest says of a file that nobody takes only that nobody does; another plugin may have taken it."""
    try:
        return (yield)
    except pytest.UsageError as error:
        if name := _script(session.config, str(error)):
            raise pytest.UsageError(f"{name} needs a board: add --board=NAME, for example --board=localhost") from None
        raise


def _script(config: pytest.Config, said: str) -> str:
    """The script that was named and that pytest complains of, if nothing asks for a board."""
    for argument in [] if config.option.lava_board else config.args:
        name = argument.partition("::")[0]
        path = config.invocation_params.dir / name
        if str(path) in said and path.is_file() and path.suffix != ".py":
            with path.open("rb") as file:
                if path.suffix in {".sh", ".bash"} or file.read(4) in {b"\x7fELF", b"#!/b", b"#!/u"}:
                    return name
    return ""
