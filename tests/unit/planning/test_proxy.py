"""What a board's shell is told of the lab's package proxy, and which addresses are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.boards import NobodyToGuard

from pytest_lava.config.boards import BoardFiles
from pytest_lava.config.model import Login
from pytest_lava.config.paths import shipped
from pytest_lava.errors import ConfigurationError
from pytest_lava.planning.planner import Options, make_plan
from pytest_lava.registry import Registry

BOARD = 'arch = "arm64"\nconsole = "/dev/null"\npower = "none"\nboot = "attach"\n'


def login(folder: Path, text: str, option: str | None = None) -> Login:
    (folder / "b.toml").write_text(BOARD + text)
    files = BoardFiles([folder, shipped("boards")], Registry())
    options = Options(boards=("b",), commands=("true",), package_proxy=option)
    (target,) = make_plan(options, files, folder / "run", NobodyToGuard()).targets
    return target.request.candidates[0].model.login


def refusal(folder: Path, text: str, option: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        login(folder, text, option)
    return str(caught.value)


def test_none_by_itself(tmp_path: Path) -> None:
    assert login(tmp_path, "") == Login()


@pytest.mark.parametrize("url", ["http://proxy.lab:3142", "http://me:secret@proxy.lab:3142/"])
def test_by_the_board_file_or_the_option(tmp_path: Path, url: str) -> None:
    wanted = {"http_proxy": url.rstrip("/"), "HTTP_PROXY": url.rstrip("/"), "no_proxy": "localhost,127.0.0.1"}
    assert login(tmp_path, f'[proxy]\nurl = "{url}"\n').environment == wanted
    assert login(tmp_path, "", url).environment == wanted
    assert login(tmp_path, '[proxy]\nurl = "http://another:1"\n', url).environment == wanted
    assert login(tmp_path, f'[proxy]\nurl = "{url}"\n', "none") == Login()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1", "[::1]"])
def test_this_machine_by_the_name_that_the_board_has_for_it(tmp_path: Path, host: str) -> None:
    text = '[transfer]\naddress = "10.0.2.2"\nup = "ifconfig eth0 up"\n[login]\ncommands = ["true"]\n'
    found = login(tmp_path, text, f"http://me:secret@{host}:3142")
    assert found.environment["http_proxy"] == "http://me:secret@10.0.2.2:3142"
    assert found.environment["no_proxy"] == "localhost,127.0.0.1,10.0.2.2"
    assert found.commands == ("ifconfig eth0 up", "true")
    assert refusal(tmp_path, "", f"http://{host}:3142").startswith(
        f"--package-proxy http://{host}:3142 is this machine for itself, which board 'b' cannot reach: name it as the "
    )


def test_a_variable_of_the_board_file_wins(tmp_path: Path) -> None:
    text = '[login]\nenvironment = { no_proxy = "*.lab" }\n'
    assert login(tmp_path, text, "http://proxy.lab:3142").environment["no_proxy"] == "*.lab"


def test_a_process_of_this_machine_reaches_what_it_reaches(tmp_path: Path) -> None:
    files = BoardFiles([tmp_path, shipped("boards")], Registry())
    options = Options(boards=("localhost",), commands=("true",), package_proxy="http://127.0.0.1:3142")
    (target,) = make_plan(options, files, tmp_path / "run", NobodyToGuard()).targets
    assert target.request.candidates[0].model.login.environment["http_proxy"] == "http://127.0.0.1:3142"


@pytest.mark.parametrize("url", ["proxy.lab:3142", "https://proxy.lab:3142", "http://proxy.lab", "http://a'b:1", "0"])
def test_what_is_no_proxy(tmp_path: Path, url: str) -> None:
    assert refusal(tmp_path, "", url) == f"--package-proxy {url}: write http://HOST:PORT, or none"
    assert "b.toml:6: key 'proxy.url': write http://HOST:PORT" in refusal(tmp_path, f'[proxy]\nurl = "{url}"\n')


def test_a_name_that_no_shell_takes(tmp_path: Path) -> None:
    said = refusal(tmp_path, '[login]\nenvironment = { "A B" = "1" }\n')
    assert "'A B' is no name of a variable" in said
