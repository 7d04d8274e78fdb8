"""Drivers by kind and name, ours and those that others add."""

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.hookspecs import hookimpl
from pytest_lava.power.none import NoPower
from pytest_lava.registry import Registry, plugin_manager


class Relay:
    """A third party's power driver."""


class Plugin:
    @hookimpl
    def lava_register(self, registry):
        registry.add("power", "relay", Relay)
        registry.add("power", "lazy", "pytest_lava.power.none:NoPower")


def test_every_driver_of_ours_can_be_imported_and_validates_its_options():
    registry = Registry()
    for kind in ("power", "boot", "deploy"):
        for name in registry.names(kind):
            assert hasattr(registry.get(kind, name), "Options"), (kind, name)


def test_a_plugin_adds_drivers_also_by_their_import_path():
    manager = plugin_manager()
    manager.register(Plugin())
    registry = Registry(manager)
    assert registry.get("power", "relay") is Relay
    assert registry.get("power", "lazy") is NoPower
    assert "relay" in registry.names("power")


def test_a_name_is_taken_once():
    with pytest.raises(ConfigurationError, match="exists already"):
        Registry().add("power", "qemu", Relay)


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(ConfigurationError, match="unknown power method 'comand'; did you mean 'command'"):
        Registry().get("power", "comand")
    with pytest.raises(ConfigurationError, match="kinds are power, boot, deploy"):
        Registry().add("toaster", "x", Relay)


class Watcher:
    @hookimpl
    def lava_watch(self, table):
        table.add("myip", "warn", r"myip \w+: timeout", source="myip.c")


def test_a_plugin_adds_to_what_the_watch_looks_for():
    manager = plugin_manager()
    manager.register(Watcher())
    registry = Registry(manager)
    (mine,) = [pattern for pattern in registry.patterns() if pattern.name == "myip"]
    assert (mine.kind, mine.source, mine.literal) == ("warn", "myip.c", b": timeout")
    assert registry.patterns() == registry.patterns()
    assert len(registry.patterns()) == len(Registry().patterns()) + 1


def test_a_pattern_of_the_watch_is_named_once():
    class Clash:
        @hookimpl
        def lava_watch(self, table):
            table.add("panic", "warn", "x")

    manager = plugin_manager()
    manager.register(Clash())
    with pytest.raises(ConfigurationError, match="the watch has a pattern 'panic' already; give yours another name"):
        Registry(manager).patterns()
