"""``pytest-lava submit`` and ``pytest-lava spool``: send what is left, and see what there is."""

from __future__ import annotations

import argparse
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_lava.errors import ConfigurationError, ExitStatus
from pytest_lava.results.run_folders import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_lava.sinks.secrets import FoundSecrets
    from pytest_lava.spool.item import Item
    from pytest_lava.spool.sending import Outcome, Sender
    from pytest_lava.spool.store import Spool

__all__ = ["add_parsers"]

_WAIT = 120.0  # seconds for each item
_TRIES = 5
_LOOK = 30.0  # seconds after which --watch looks for new items
_FAILED = 1


def add_parsers(subparsers: Any) -> None:
    """Add both commands; ``args.func(args)`` runs the chosen one and returns the exit status."""
    submit = subparsers.add_parser(
        "submit", help="send the results of a run, or all that is waiting in the spool",
        description="Send the results of a run to where it was to submit them (or to --to), or all that is waiting.",
    )  # fmt: skip
    submit.add_argument("folder", nargs="?", type=Path, metavar="RUNFOLDER", help=f"a run folder (default: {LATEST})")
    submit.add_argument("--all", action="store_true", help="send everything that is waiting in the spool")
    submit.add_argument("--watch", action="store_true", help="send what is due, and go on until interrupted")
    submit.add_argument(
        "--to", action="append", metavar="NAME|URL", default=[],
        help="submit the run folder there: a sink of pytest-lava.toml, or a URL; repeatable",
    )  # fmt: skip
    submit.set_defaults(func=_submit)
    spool = subparsers.add_parser("spool", help="see what waits to be submitted, or failed; send it again, or drop it")
    spool.set_defaults(func=_list)
    actions = spool.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("ls", help="list what is waiting and what failed")
    listing.add_argument("--sent", action="store_true", help="what was sent, too")
    listing.set_defaults(func=_list)
    show = actions.add_parser("show", help="tell all about items")
    show.set_defaults(func=_show)
    retry = actions.add_parser("retry", help="send what failed once more, now that it is mended")
    retry.add_argument("--all", action="store_true", help="everything that failed")
    retry.add_argument("--to", action="append", default=[], metavar="NAME", help="for this sink only; repeatable")
    retry.add_argument("--later", action="store_true", help="send nothing now: the next run does, or submit --all")
    retry.set_defaults(func=_retry)
    drop = actions.add_parser("drop", help="forget items: what was not sent is lost, but for its run folder")
    drop.set_defaults(func=_drop)
    for parser in (show, retry, drop):
        count = "*" if parser is retry else "+"
        parser.add_argument("items", nargs=count, metavar="ITEM", help="its name or uuid, or how one of them begins")
    for parser in (submit, retry):
        parser.add_argument(
            "--wait", type=_time, default=_WAIT, metavar="TIME", help="try so long for each run (default: 2min)"
        )
    for parser in (submit, spool, listing, show, retry, drop):
        parser.add_argument(
            "--lava-spool", type=Path, metavar="DIR", default=argparse.SUPPRESS,
            help="the spool (default: the user's)",
        )  # fmt: skip


def _submit(args: argparse.Namespace) -> int:
    if sum([bool(args.folder), args.all, args.watch]) > 1:
        raise ConfigurationError("give a run folder, --all or --watch, one of them")
    if args.to and (args.all or args.watch):
        raise ConfigurationError("--to is for a run folder: what is in the spool knows where it goes")
    spool, secrets = _spool(args)
    sender = _sender(spool, secrets)
    if args.watch:
        return _watch(spool, sender, args.wait)
    items = spool.items() if args.all else _added(args, spool, secrets)
    outcomes = [outcome for item in items for outcome in _send(spool, sender, item, args.wait, again=not args.all)]
    _prune(spool)
    if args.all and not items:
        print(f"nothing is waiting in {spool.folder}")
    return _status(outcomes, spool)


def _added(args: argparse.Namespace, spool: Spool, secrets: FoundSecrets) -> list[Item]:
    """The run folder, put into the spool."""
    from pytest_lava.registry import Registry, plugin_manager
    from pytest_lava.sinks.choosing import SinkChooser, made_from
    from pytest_lava.sinks.settings import Settings, settings_files
    from pytest_lava.spool.runfolder import results_of

    registry = Registry(plugin_manager())
    chooser = SinkChooser(Settings(settings_files(Path.cwd())), registry, secrets, Path.cwd(), "--to")
    choices = chooser.choose(args.to)
    results, stored = results_of(args.folder or LATEST)
    if not choices:
        choices = tuple(made_from(one, registry, secrets) for one in stored)
    if not choices:
        raise ConfigurationError("this run was not to be submitted anywhere: say where, with --to NAME|URL")
    return spool.add(results, choices)


def _send(
    spool: Spool, sender: Sender, item: Item, seconds: float,
    *, at_once: bool = True, again: bool = False, tries: int = _TRIES,
) -> list[Outcome]:  # fmt: skip
    """Send one item and say what came of it; ``again``: also of sinks that had it before."""
    from pytest_lava.deadline import Deadline
    from pytest_lava.spool.telling import line

    had = [] if again else [entry.name for entry, state in item.states() if state.status != "waiting"]
    outcomes = sender.send(item, Deadline.after(seconds), tries=tries, at_once=at_once)
    outcomes = [outcome for outcome in outcomes if outcome.sink not in had]
    for outcome in outcomes:
        print(f"{outcome.status:<8} {item.uuid[:8]} {line(outcome)}", flush=True)
    if item.damage:
        print(
            f"damaged  {item.name}: {item.damage}; it is set aside: {spool.folder / 'failed' / item.name}", flush=True
        )
    return outcomes


def _watch(spool: Spool, sender: Sender, seconds: float) -> int:
    """Until interrupted. What is due is sent; new items are looked for now and then."""
    rest = threading.Event()
    while True:
        for item in spool.items():
            if item.damage or item.next_try(spool.now()) == 0.0:
                _send(spool, sender, item, seconds, at_once=False, tries=1)
        _prune(spool)
        pauses = [pause for item in spool.items() if (pause := item.next_try(spool.now())) is not None]
        rest.wait(max(1.0, min([_LOOK, *pauses])))


def _status(outcomes: Iterable[Outcome], spool: Spool) -> int:
    from pytest_lava.spool.telling import refused_command, waiting_command

    found = list(outcomes)
    if refused := [outcome for outcome in found if outcome.status == "failed"]:
        print(f"once that is mended: {refused_command(spool.folder, [outcome.item for outcome in refused])}")
    if any(outcome.status == "waiting" for outcome in found):
        print(f"what is waiting is kept; to try again: {waiting_command(spool.folder)}")
        return int(ExitStatus.LAB_FAULT)
    return _FAILED if refused else 0


def _list(args: argparse.Namespace) -> int:
    from pytest_lava.told_times import ago

    spool, _ = _spool(args)
    if not spool.items("new") and not spool.items("failed"):
        print("nothing is waiting, nothing has failed")
    for place in ("new", "failed", *(["sent"] if getattr(args, "sent", False) else [])):
        for item in spool.items(place):
            if item.damage:
                print(f"{place:<7} {item.name}  damaged: {item.damage}")
                continue
            sinks = ", ".join(f"{entry.name} {state.status}" for entry, state in item.states())
            print(f"{place:<7} {item.name}  {ago(spool.now() - item.created):>10}  {sinks}")
    print(f"spool: {spool.folder}")
    return 0


def _show(args: argparse.Namespace) -> int:
    spool, _ = _spool(args)
    for text in args.items:
        item = spool.find(text)
        print(f"{item.name} ({item.place})")
        print(f"  folder    {item.folder}")
        if item.damage:
            print(f"  damaged   {item.damage}")
            continue
        print(f"  run       {item.uuid}")
        print(f"  from      {item.run}")
        print(f"  created   {_moment(item.created)}")
        for entry, state in item.states():
            size = sum(size for size, _ in entry.files.values())
            print(f"  {entry.name} ({entry.kind}, {entry.url}): {state.status}, {size} bytes, {state.tries} tries")
            if entry.settings:
                print(f"    named   in {entry.settings}")
            if state.tried:
                print(f"    tried   {_moment(state.tried)}")
            if state.status == "waiting" and state.pause:
                print(f"    next    {_moment(state.tried + state.pause)}")
            if state.reason:
                print(f"    reason  {state.reason}")
            if state.receipt:
                print(f"    receipt {' '.join(str(value) for value in state.receipt.values() if value)}")
    return 0


def _retry(args: argparse.Namespace) -> int:
    spool, secrets = _spool(args)
    sender, outcomes = _sender(spool, secrets), list[Any]()
    for item in _to_retry(args, spool):
        alive = spool.retry(item, args.to)
        if args.later or alive.place != "new":
            print(f"{item.name} is {'waiting' if alive.place == 'new' else 'as it was'}")
        else:
            outcomes += _send(spool, sender, alive, args.wait, at_once=False)
    return _status(outcomes, spool)


def _to_retry(args: argparse.Namespace, spool: Spool) -> list[Item]:
    """The items that are meant; every mistake before anything is done."""
    if bool(args.items) == args.all:
        raise ConfigurationError("name items, or say --all")
    if args.all:  # those that have the sink; it may be misspelt, so that none has it is told
        found = [item for item in spool.items("failed") if not item.damage]
        found = [item for item in found if not args.to or {entry.name for entry in item.entries} & {*args.to}]
        if not found:
            print(f"nothing failed{' for ' + ' or '.join(args.to) if args.to else ''} in {spool.folder}")
        return found
    found = [spool.find(text) for text in dict.fromkeys(args.items)]
    for item in found:
        if item.place == "sent":
            raise ConfigurationError(f"{item.name} was sent already; to send it elsewhere: pytest-lava submit --to")
        if unknown := [name for name in args.to if name not in {entry.name for entry in item.entries}]:
            raise ConfigurationError(f"{item.name} has no sink {unknown[0]!r}; pytest-lava spool show {item.name}")
    return found


def _drop(args: argparse.Namespace) -> int:
    spool, _ = _spool(args)
    for item in [spool.find(text) for text in args.items]:
        spool.drop(item)
        print(f"{item.name} is gone")
    return 0


def _prune(spool: Spool) -> None:
    if removed := spool.prune():
        print(f"removed from what was sent, by age or size: {', '.join(removed)}")


def _spool(args: argparse.Namespace) -> tuple[Spool, FoundSecrets]:
    from pytest_lava.sinks.secrets import FoundSecrets
    from pytest_lava.spool.store import Spool, default_folder

    secrets = FoundSecrets(os.environ)
    folder = getattr(args, "lava_spool", None)
    if folder and folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--lava-spool {folder}: this is no folder; name another one")
    return Spool(folder.absolute() if folder else default_folder(), secrets.mask), secrets


def _sender(spool: Spool, secrets: FoundSecrets) -> Sender:
    from pytest_lava.registry import Registry, plugin_manager
    from pytest_lava.spool.sending import Sender

    return Sender(spool, Registry(plugin_manager()), secrets)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _time(text: str) -> float:
    from pytest_lava.stress.plan import parse_time

    try:
        return parse_time(text, "")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error).strip()) from None
