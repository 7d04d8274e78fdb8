"""The error tree is data: every class states blame, effect and bundle result."""

import pytest

from pytest_lava import errors
from pytest_lava.errors import Blame, Effect, LavaError, describe


def classes():
    return [
        value
        for name in errors.__all__
        if isinstance(value := getattr(errors, name), type) and issubclass(value, LavaError)
    ]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_class_is_classified_and_documented(kind):
    assert isinstance(kind.blame, Blame)
    assert isinstance(kind.effect, Effect)
    assert kind.result in ("fail", "unknown")
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "blame", "effect", "result"),
    [
        (errors.OperationFailed, "test", "case", "fail"),
        (errors.CommandTimeout, "test", "case", "fail"),
        (errors.KernelCrash, "job", "case", "fail"),
        (errors.UnexpectedReset, "job", "case", "fail"),
        (errors.BootFailed, "job", "board", "fail"),
        (errors.DeployFailed, "job", "board", "fail"),
        (errors.NetworkError, "infrastructure", "board", "unknown"),
        (errors.PowerError, "infrastructure", "board", "unknown"),
        (errors.BoardBusy, "infrastructure", "board", "unknown"),
        (errors.ConfigurationError, "configuration", "run", "unknown"),
        (errors.Bug, "bug", "case", "unknown"),
    ],
)
def test_the_table_of_the_design_holds(kind, blame, effect, result):
    info = describe(kind("what happened", evidence="console"))
    assert (info.blame, info.effect, info.result) == (blame, effect, result)
    assert (info.type, info.message, info.evidence) == (kind.__name__, "what happened", "console")


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), OSError(5, "x")])
def test_what_nobody_classified_is_a_bug(error):
    assert describe(error).blame is Blame.BUG
    assert describe(error).result == "unknown"


def test_a_blamed_infrastructure_is_never_a_failed_test():
    for kind in classes():
        if kind.blame is Blame.INFRASTRUCTURE:
            assert kind.result == "unknown"
