"""From names and URLs to sinks: what each means, where secrets go, and what mistakes are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_lava.arguments import without_secret
from pytest_lava.errors import ConfigurationError
from pytest_lava.registry import Registry
from pytest_lava.sinks.choosing import SinkChoice, SinkChooser, made_from
from pytest_lava.sinks.secrets import FoundSecrets
from pytest_lava.sinks.settings import Settings, settings_files


class Desk:
    """A folder with settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = FoundSecrets({}, home=folder, keyring=False)

    def settings(self, text: str) -> None:
        (self.folder / "pytest-lava.toml").write_text(text)

    def choose(self, *texts: str) -> tuple[SinkChoice, ...]:
        path = self.folder / "pytest-lava.toml"
        settings = Settings([path] if path.exists() else [])
        return SinkChooser(settings, Registry(), self.secrets, self.folder).choose(texts)

    def complaint(self, *texts: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.choose(*texts)
        return str(caught.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    "text, kind, name, options",
    [
        ("https://ci.example/bundles?x=1", "http", "http-ci.example", {"url": "https://ci.example/bundles?x=1"}),
        ("http+https://ci.example/b", "http", "http-ci.example", {"url": "https://ci.example/b"}),
        ("./out", "file", "file-out", {"url": "{folder}/out"}),
        ("file:///srv/a%20b", "file", "file-a-20b", {"url": "/srv/a b"}),
        ("/srv/results/", "file", "file-results", {"url": "/srv/results"}),
        ("junit:xml", "junit", "junit-xml", {"url": "{folder}/xml"}),
        (
            "dashboard+http://lava.example/RPC2/?stream=/anonymous/x/", "dashboard", "dashboard-lava.example",
            {"url": "http://lava.example/RPC2/", "stream": "/anonymous/x/"},
        ),
        ("squad+https://qa.example/lab/board", "squad", "squad-qa.example", {}),
    ],
)  # fmt: skip
def test_a_url_tells_kind_and_options(desk: Desk, text: str, kind: str, name: str, options: dict[str, str]) -> None:
    (choice,) = desk.choose(text)
    assert (choice.kind, choice.name) == (kind, name)
    stored = choice.as_json["options"]
    for key, value in options.items():
        assert stored[key] == value.format(folder=desk.folder)
    again = made_from(json.loads(json.dumps(choice.as_json)), Registry(), desk.secrets)
    assert again.options == choice.options


@pytest.mark.parametrize(
    "text, user, secret",
    [
        ("http://alice:s3cr%2Fet@ci.example/b", "alice", "s3cr/et"),
        ("dashboard+http://alice:s3cr%2Fet@lava.example/RPC2/?stream=/anonymous/x/", "alice", "s3cr/et"),
        ("squad+https://alice:s3cr%2Fet@qa.example/lab/board", None, "s3cr/et"),
        ("squad+https://s3cr%2Fet@qa.example/lab/board", None, "s3cr/et"),
    ],
)
def test_secrets_of_a_url_are_kept_apart(desk: Desk, text: str, user: str | None, secret: str) -> None:
    (choice,) = desk.choose(text)
    stored = json.dumps(choice.as_json) + repr(choice.options)
    assert "s3cr" not in stored
    assert desk.secrets.get(choice.name, "") == secret
    assert desk.secrets.mask(text).count("s3cr") == 0
    assert choice.as_json["options"].get("user") == user
    assert "@" not in without_secret(text)


def test_a_name_means_its_table(desk: Desk) -> None:
    desk.settings('[sinks.qa]\nkind = "file"\nurl = "results"\nlogs = true\n[sinks.hook]\nkind="http"\n'
                  'url="https://u:passw0rd@h.example/x"\n')  # fmt: skip
    qa, hook = desk.choose("qa", "hook")
    assert qa.as_json == {
        "name": "qa", "kind": "file", "options": {"url": str(desk.folder / "results"), "logs": True},
        "settings": str(desk.folder / "pytest-lava.toml"),
    }  # fmt: skip
    assert hook.as_json["options"]["user"] == "u"
    assert "passw0rd" not in json.dumps(hook.as_json)
    assert desk.secrets.get("hook", "") == "passw0rd"


def test_each_place_is_used_once(desk: Desk) -> None:
    names = [choice.name for choice in desk.choose("./a", "./a", "x/a", "http://h/1", "http://h/2", "http://h/1")]
    assert names == ["file-a", "file-a-2", "http-h", "http-h-2"]
    twice = [choice.name for choice in desk.choose(*["http://u:s3cret@h/1"] * 2, "http://v:s3cret@h/1")]
    assert twice == ["http-h", "http-h-2"]


def test_settings_of_the_project_come_first(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "home" / "pytest-lava"
    user.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (user / "pytest-lava.toml").write_text('[sinks.a]\nkind="junit"\nurl="/u"\n[sinks.b]\nkind="junit"\nurl="/u"\n')
    desk.settings('[sinks.a]\nkind = "junit"\nurl = "/p"\n')
    settings = Settings(settings_files(desk.folder))
    chooser = SinkChooser(settings, Registry(), desk.secrets, desk.folder)
    assert [choice.url for choice in chooser.choose(["a", "b"])] == ["/p", "/u"]
    assert settings.names() == ["a", "b"]


def test_mistakes_in_settings(desk: Desk) -> None:
    """All at once, each with its line."""
    path = desk.folder / "pytest-lava.toml"
    desk.settings('[sinks.qa]\nkind = "http"\nurl = "https://h/"\ntoken = "s3cret"\n')
    assert desk.complaint("qa") == f"{path}:4: unknown key 'sinks.qa.token'"
    desk.settings('[sinks.qa]\nkind = "http"\nurl = "ftp://h/"\nusr = "x"\n')
    assert desk.complaint("qa").splitlines() == [
        f"{path}:3: key 'sinks.qa.url': write http://HOST/PATH or https://HOST/PATH, got 'ftp://h/'",
        f"{path}:4: unknown key 'sinks.qa.usr'; did you mean 'user'?",
    ]
    desk.settings('[sinks.qa]\nkind = "sqad"\n[sink.x]\n[sinks."a/b"]\nkind="file"\n[sinks.c]\nurl = "x"\n')
    assert desk.complaint("qa").splitlines() == [
        f"{path}:3: unknown table 'sink'; did you mean 'sinks'?",
        f"{path}:4: 'a/b' is no name of a sink: use letters, digits, _ . and -",
        f'{path}:6: [sinks.c] has no kind: write kind = "squad", or another one',
    ]
    desk.settings('[sinks.qa]\nkind = "sqad"\n')
    assert desk.complaint("qa") == f"{path}:2: unknown kind of sink 'sqad'; did you mean 'squad'?"
    desk.settings("[sinks\n")
    assert "this is not valid TOML" in desk.complaint("qa")


def test_mistakes_on_the_command_line(desk: Desk) -> None:
    (desk.folder / "plain").write_text("")
    desk.settings('[sinks.squad-lab]\nkind = "file"\nurl = "x"\n')
    said = desk.complaint("squad-lib", "ftp://u:s3cret@h/", "foo+https://h/", "http://", "junit:", "./plain",
                          "file://nas/x").splitlines()  # fmt: skip
    assert said == [
        "--submit squad-lib: there is no such sink, there is squad-lab; did you mean 'squad-lab'? For a folder write "
        "./squad-lib",
        "--submit ftp://h/: the scheme tells no kind; write KIND+https://..., with a kind of dashboard, file, http, "
        "junit, kcidb, squad",
        "--submit foo+https://h/: unknown kind of sink 'foo'; there are dashboard, file, http, junit, kcidb, squad",
        "--submit: url=http://: write http://HOST/PATH or https://HOST/PATH",
        "--submit: url=: this names no folder",
        "--submit: url=./plain: this is no folder",
        "--submit: url=file://nas/x: a file URL has no host: write file:///PATH, and mount what is on another machine",
    ]
    said = desk.complaint("squad+https://h/g/p?build=a&build=b", "kcidb+https://h/?origin=Lab", "squad+https://h")
    assert said.splitlines() == [
        "--submit: build= is twice in squad+https://h/g/p?build=a&build=b: leave one",
        "--submit: origin=Lab: an origin has small letters, digits and _ only, as KernelCI gave it to you",
        "--submit: squad-h: which project? Let url end in /GROUP/PROJECT, or set group and project",
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("http://u:s3cret@[::1/x", "http://[::1/x is no URL: write http://HOST[:PORT]/PATH; "),
        ("http://u:cret/99@h/x", "http://h/x is no URL: write"),
        ("https://h:99999/x", "https://h:99999/x is no URL: write"),
        ("squad+http://h:9x/g/p", "http://h:9x/g/p is no URL: write"),
        ("http://u:s3cret@a b/x", "'http://a b/x' is no URL: write %20 for ' '"),
        ("http://h/x\ny", "'http://h/x\\ny' is no URL: write %0A for '\\n'"),
        ("", "'': name a sink, a URL or a folder"),
    ],
)
def test_what_is_no_url_is_told_and_shows_no_secret(desk: Desk, text: str, said: str) -> None:
    complaint = desk.complaint(text)
    assert said in complaint
    assert "cret" not in complaint
    assert complaint.startswith("--submit")


def test_a_url_in_settings_that_is_none(desk: Desk) -> None:
    desk.settings('[sinks.qa]\nkind = "http"\nurl = "http://u:s3cret@[::1/x"\n')
    assert desk.complaint("qa").startswith(f"{desk.folder / 'pytest-lava.toml'}:3: http://[::1/x is no URL")


def test_the_scheme_of_a_url_may_be_written_large(desk: Desk) -> None:
    assert desk.choose("HTTPS://ci.example/B")[0].as_json["options"]["url"] == "https://ci.example/B"


@pytest.mark.parametrize(
    "text", ["https://t0ken99@ci.example/b", "dashboard+https://t0ken99@h/RPC2/?stream=/anonymous/x/"]
)
def test_a_word_that_may_be_a_token_is_not_taken_for_a_user(desk: Desk, text: str) -> None:
    """A user stands in journal and spool."""
    complaint = desk.complaint(text)
    assert "has one word before its @: for a token write :TOKEN@, for a user USER:TOKEN@, or set PYTEST_" in complaint
    assert "t0ken99" not in complaint
    (choice,) = desk.choose(text.replace("t0ken99", ":t0ken99"))
    assert "t0ken99" not in json.dumps(choice.as_json)
    assert desk.secrets.get(choice.name, "") == "t0ken99"


def test_a_user_whose_secret_is_elsewhere(desk: Desk) -> None:
    desk.secrets = FoundSecrets({"PYTEST_LAVA_TOKEN_HTTP_CI_EXAMPLE": "passw0rd"}, home=desk.folder, keyring=False)
    (choice,) = desk.choose("https://alice@ci.example/b")
    assert choice.as_json["options"]["user"] == "alice"


def test_secrets_are_found_in_this_order(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine qa.example login x password from-netrc\n")
    (tmp_path / ".netrc").chmod(0o600)
    environ = {"PYTEST_LAVA_TOKEN_MY_QA": "from-environment"}
    secrets = FoundSecrets(environ, home=tmp_path, keyring=False)
    assert secrets.get("other", "qa.example") == "from-netrc"
    assert secrets.get("my-qa", "qa.example") == "from-environment"
    secrets.give("my-qa", "from-url")
    assert secrets.get("my-qa", "qa.example") == "from-url"
    assert secrets.get("other", "nowhere.example") == ""
    for text in ("from-url", "from-netrc", "from-environment"):
        assert text not in secrets.mask(f"-{text}-")


def test_who_holds_a_board_tells_no_secret() -> None:
    """The command line is in the file of each lock, for whoever waits."""
    program = "from pytest_lava.lab.locks import Holder; print(Holder.me('b', None).command)"
    done = subprocess.run(
        [sys.executable, "-c", program, "--submit", "http://u:s3cret@h/x"], capture_output=True, text=True, check=True
    )
    assert "--submit http://h/x" in done.stdout
    assert "s3cret" not in done.stdout
