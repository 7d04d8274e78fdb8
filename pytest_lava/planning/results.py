"""What options say about the content of results, checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_lava.errors import ConfigurationError
from pytest_lava.images.housekeeping import parse_size
from pytest_lava.plan import BundleContent
from pytest_lava.results.junit_links import Links

if TYPE_CHECKING:
    from pytest_lava.planning.mistakes import Mistakes
    from pytest_lava.planning.planner import Options

__all__ = ["bundle_content", "junit_links"]

_URL = 256  # characters; a file's path comes behind it, and a dashboard keeps 512


def bundle_content(options: Options, run_folder: str, mistakes: Mistakes) -> BundleContent:
    """What goes into the bundle beside results; ``{folder}`` in its URL is the name of the run folder."""
    for tag in options.bundle_tags:
        if not re.fullmatch(r"[a-z0-9-]{1,256}", tag):
            mistakes.add(f"--bundle-tag {tag!r}: a dashboard takes a-z, 0-9 and - only")
    limit = mistakes.collect(parse_size, options.attachment_limit, "lava_attachment_limit")
    url = mistakes.collect(_url, options.bundle_url or "", run_folder)
    return BundleContent(options.bundle_tags, limit or 0, url or "")


def junit_links(options: Options, run_folder: Path, mistakes: Mistakes) -> Links:
    """How ``junit.xml`` names files of tests; GitLab takes only such as are below its project folder."""
    links = Links(options.junit_attachments, Path(options.project_dir or ".").absolute())
    if not links.reach(run_folder):
        mistakes.add(
            f"--junit-attachments=gitlab: GitLab takes files from below the project folder {links.base} only: "
            f"put the run folder there with --lava-dir (it is {run_folder})"
        )
    return links


def _url(text: str, run_folder: str) -> str:
    if not text:
        return ""
    url = text.replace("{folder}", run_folder)
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url) or "{" in url or len(url) > _URL:
        raise ConfigurationError(
            f"--bundle-url {text}: write where the run folder can be found, as http(s)://HOST/PATH/{{folder}}"
        )
    if "@" in url.split("/", 3)[2]:
        raise ConfigurationError(
            "--bundle-url: leave out user and password: everybody who sees the bundle would see them"
        )
    return url
