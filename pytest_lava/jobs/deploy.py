"""The ``deploy`` actions of a LAVA v2 job: which file is what, and where it goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.artefact import ALGORITHMS, Artefact
from pytest_lava.inject.additions import parse_addition
from pytest_lava.jobs.job import Deployed
from pytest_lava.jobs.keys import DEPLOYS, PLACES
from pytest_lava.jobs.qemu_arguments import BadArgument, Roles, read_arguments
from pytest_lava.jobs.table import Table

__all__ = ["Deploying", "chosen"]

_DOWNLOADS = "downloads://"
#: names of images -> what they are, where no argument says so
_BY_NAME: Mapping[str, str] = {
    "kernel": "kernel", "ramdisk": "initrd", "initrd": "initrd", "dtb": "dtb", "rootfs": "drive",
}  # fmt: skip
_PARTS = (("kernel", "kernel"), ("ramdisk", "initrd"), ("initrd", "initrd"), ("dtb", "dtb"), ("modules", "modules"))


def chosen(table: Table, key: str, known: Mapping[str, object]) -> str:
    """A word of a table of words, that is not refused there."""
    word = table.needed(key)
    found = known.get(word)
    if found is None:
        raise table.wrong(f"{key!r} {word!r} is not known: it is one of {', '.join(known)}", key)
    if getattr(found, "use", "") == "refused":
        taken = ", ".join(name for name, one in known.items() if getattr(one, "use", "") == "taken")
        raise table.wrong(
            f"{key!r} {word!r} is not supported ({getattr(found, 'said', '')}): supported are {taken}", key
        )
    return word


@dataclass
class Deploying:
    """Reads one action after the other; ``downloads`` are files that an earlier one brought here, by their names.

    ``wrong``: an earlier one is not understood, so nobody knows which files there would be.
    """

    extra: tuple[str, ...] = ()
    downloads: dict[str, str] = field(default_factory=dict)
    wrong: bool = False

    def read(self, table: Table, before: Deployed, limit: float | None) -> Deployed:
        """What is deployed after this action, with what was before it. ``ConfigurationError``."""
        try:
            return self._read(table, before, limit)
        except ConfigurationError:
            self.wrong = True
            raise

    def _read(self, table: Table, before: Deployed, limit: float | None) -> Deployed:
        to = chosen(table, "to", DEPLOYS)  # first: keys of a place that is not there say nothing more
        table.known("deploy", PLACES["deploy"])
        if to in ("download", "downloads"):
            for name, one in self._images(table).items():
                text = self._artefact(one)
                self.downloads[Artefact.parse(text).name] = self.downloads[name] = text
            return before
        found = replace(
            before, limit=table.seconds("timeout") or limit or before.limit, tries=table.number("failure_retry")
        )
        for key, part in _PARTS:
            if key in table:
                found = _with_part(found, part, self._artefact(table.table(key)))
        images = self._images(table)
        if "rootfs" in table and "rootfs" not in images:
            images["rootfs"] = table.table("rootfs")
        if not images:
            if to in ("tmpfs", "flasher") and found.empty:
                raise table.wrong("'images' is missing: there is nothing to deploy")
            return self._with_overlays(found, [table.table(key) for key, _ in _PARTS if key in table])
        return self._with_images(table, found, images, bare=to == "flasher")

    def _images(self, table: Table) -> dict[str, Table]:
        found = {}
        for name in table.table("images").data:
            found[str(name)] = table.table("images").table(str(name))
        return found

    def _with_images(self, table: Table, found: Deployed, images: Mapping[str, Table], *, bare: bool) -> Deployed:
        texts = {name: self._artefact(one) for name, one in images.items()}
        said = self._arguments(table, images)
        parts: dict[str, str] = {}
        for name, text in texts.items():
            role = "drive" if bare else said.roles.get(name) or _BY_NAME.get(name)
            if role is None:
                continue  # LAVA does not hand it to QEMU either
            if role == "drive":
                parts[re.sub(r"\W", "_", name)] = text
            else:
                found = _with_part(found, role, text)
        drives = {re.sub(r"\W", "_", name): device for name, device in said.settings.drives.items()}
        found = replace(
            found,
            images={**found.images, **parts},
            append=" ".join(filter(None, [found.append, *said.append])),
            qemu=replace(said.settings, drives={**found.qemu.drives, **drives}),
        )
        return self._with_overlays(found, images.values())

    def _arguments(self, table: Table, images: Mapping[str, Table]) -> Roles:
        """Of all images and of the context together, as a drive and its device stand in different ones."""
        for name, one in images.items():
            try:
                read_arguments([one.text("image_arg")], alone=True)
            except BadArgument as error:
                raise one.wrong(f"'image_arg' of {name!r} is not supported: {error}", "image_arg") from None
        try:
            return read_arguments([*(one.text("image_arg") for one in images.values()), *self.extra])
        except BadArgument as error:
            raise table.wrong(f"the arguments of QEMU are not supported: {error}", "images") from None

    def _artefact(self, table: Table) -> str:
        """As ``--kernel`` and ``--image`` take it."""
        table.known("image", PLACES["image"])
        return self._located(table)

    def _located(self, table: Table) -> str:
        url = table.needed("url")
        if url.startswith(_DOWNLOADS):
            name = url.removeprefix(_DOWNLOADS)
            if name not in self.downloads and not self.wrong:
                raise table.wrong(f"no action before has downloaded {name!r}", "url")
            return self.downloads.get(name, "")
        sums = [(name, table.text(f"{name}sum")) for name in ("sha512", "sha256", "md5") if f"{name}sum" in table]
        if sums:
            name, value = sums[0]
            if not re.fullmatch(rf"[0-9a-fA-F]{{{ALGORITHMS[name]}}}", value):
                raise table.wrong(f"{value!r} is no {name} checksum", f"{name}sum")
            url += f"#{name}={value}"
        if "partition" in table:
            url += ("&" if "#" in url else "#") + f"partition={(table.number('partition', least=0) or 0) + 1}"
        try:
            artefact = Artefact.parse(url)
        except ConfigurationError as error:
            raise table.wrong(str(error), "url") from None
        if artefact.path is not None and not artefact.path.exists():
            raise table.wrong(f"there is no such file: {artefact.path}", "url")
        return url

    def _with_overlays(self, found: Deployed, images: Iterable[Table]) -> Deployed:
        overlays = list(found.overlays)
        for image in images:
            for name in image.table("overlays").data:
                if name == "lava":
                    continue  # the tests themselves
                overlays.append(self._overlay(image.table("overlays").table(str(name))))
        return replace(found, overlays=tuple(overlays))

    def _overlay(self, table: Table) -> tuple[str, str]:
        table.known("overlay", PLACES["overlay"])
        form, path = table.text("format", "tar"), table.needed("path")
        if form not in ("tar", "file"):
            raise table.wrong(f"the format of an overlay is tar or file, not {form!r}", "format")
        option = "--overlay" if form == "tar" else "--file"
        text = f"{self._located(table)}:/{path.lstrip('/')}"
        try:
            parse_addition(option, text)
        except ConfigurationError as error:
            raise table.wrong(str(error)) from None
        return option, text


def _with_part(found: Deployed, part: str, text: str) -> Deployed:
    changed: Any = {part: text}
    return replace(found, **changed)
