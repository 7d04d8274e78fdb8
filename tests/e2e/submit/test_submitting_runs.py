"""Whole runs that submit, as a user starts them: what arrives, what is told, and what nothing stops."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lava_desk import Desk, Session, until
from support.dashboardserver import dashboard_server
from support.faultserver import fault_proxy
from support.receiver import receiver

pytestmark = pytest.mark.e2e

BOARD = ("--board=localhost",)
SECRET = "tok/en+42=geheim"
SLEEPS = """
    import time
    def test_good(shell): shell.run("echo good")
    def test_sleeps(shell):
        open("asleep", "w").close()
        time.sleep(60)
"""


def new_items(desk: Desk) -> list[Path]:
    return sorted((desk.folder / "xdg-state/pytest-lava/spool/new").glob("*"))


def uuid_of(session: Session) -> str:
    first = (session.folder / "journal.jsonl").read_text().splitlines()[0]
    return str(json.loads(first)["run"])


def test_what_arrives_is_what_the_run_folder_has(desk: Desk) -> None:
    """In three sinks, one of which needed two tries; and a bundle made again from the journal has the same bytes."""
    desk.write("pytest-lava.toml", '[sinks.hook]\nkind = "http"\nurl = "URL"\n')
    with receiver(desk.folder / "server", SECRET) as server, fault_proxy(server.address, "503") as proxy:
        desk.write("pytest-lava.toml", f'[sinks.hook]\nkind = "http"\nurl = "{proxy.url("/b")}"\n')
        desk.env["PYTEST_LAVA_TOKEN_HOOK"] = SECRET
        status, session = desk.run(
            *BOARD, "--command=env", "--submit=hook", "--submit=./all", "--submit=junit:xml", "--submit-strict",
            "--submit-wait=20s",
        )  # fmt: skip
    assert status == 0, session.output
    uuid = uuid_of(session)
    bundle = (session.folder / "bundle.json").read_bytes()
    assert server.stored == {uuid: bundle}
    assert (desk.folder / "all" / uuid / "bundle.json").read_bytes() == bundle
    assert (desk.folder / "xml" / f"{uuid}.xml").read_bytes() == (session.folder / "junit.xml").read_bytes()
    assert re.search(rf"^sent     hook: http://\S+/bundles/{uuid}$", session.output, re.MULTILINE), session.output
    assert f"sent     file-all: {(desk.folder / 'all' / uuid).as_uri()}" in session.output
    assert "sent: hook: http" in (session.folder / "report.html").read_text()
    lines = [json.loads(line) for line in (session.folder / "journal.jsonl").read_text().splitlines()]
    (attempt,) = [line for line in lines if line["kind"] == "attempt"]
    assert (attempt["phase"], attempt["what"], attempt["number"], attempt["last"]) == ("submit", "hook", 1, False)
    (phase,) = [line for line in lines if line["kind"] == "phase" and line["name"] == "submit"]
    assert phase["error"] is None
    session.rebuilt()
    assert (session.folder / "bundle.json").read_bytes() == bundle
    assert "PYTEST_LAVA" not in (session.folder / "console.log").read_text(errors="replace")  # of the board


@pytest.mark.parametrize("status, after", [(400, "failed"), (500, "waiting")])
def test_a_secret_is_nowhere(desk: Desk, status: int, after: str) -> None:
    """The server sends it back in its error; it was given on the command line, and in the environment."""
    desk.env["PYTEST_LAVA_TOKEN_HOOK"] = "another/secret+9"
    with receiver(desk.folder / "server") as server:
        told = (
            "Authorization: Basic dTp0b2svZW4rNDI9Z2VoZWlt and " + SECRET + " another/secret+9 tok%2Fen%2B42%3Dgeheim"
        )
        server.says = status, told.encode()
        url = server.url().replace("//", f"//u:{SECRET.replace('/', '%2F')}@")
        desk.write("pytest-lava.toml", f'[sinks.hook]\nkind = "http"\nurl = "{server.url()}"\nauth = "bearer"\n')
        desk.env["PYTEST_ADDOPTS"] = f"--submit={url}"
        code, session = desk.run(
            *BOARD, "--command=env", "--submit", url, "--submit=hook", "-l",
            "--tb=long", "-vv", "--log-level=DEBUG", "--submit-wait=1s",
        )  # fmt: skip
    assert code == 0, session.output
    assert session.output.count(f"{after:<8} ") == 2, session.output
    secret = re.compile(rb"geheim|another.{1,3}secret|tok.{1,3}en.{1,3}42|dTp0b2|Z2VoZWlt|YW5vdGhlci9zZWNyZXQr")
    server_says = re.compile(r"it says: Authorization: Basic dTp\[hidden\] and \[hidden\] \[hidden\] \[hidden\]")
    assert len(server_says.findall(session.output)) == 2, session.output
    looked = 0
    for path in [*desk.folder.rglob("*")]:
        if path.is_file() and path.name != "pytest-lava.toml" and not path.is_relative_to(desk.folder / "server"):
            looked += 1
            assert not (found := secret.search(path.read_bytes())), f"{path}: {found}"
    assert looked > 12


def test_mistakes_are_told_before_a_board_is_touched(desk: Desk) -> None:
    desk.write("pytest-lava.toml", '[sinks.qa]\nkind = "file"\nurl = "x"\nlgs = true\n')
    code, session = desk.run("--board=localhst", "--submit=qa", "--submit=nope", "--submit=http://u:s3cret@/x")
    assert code == 4
    for words in (
        "there is no board 'localhst'",
        "pytest-lava.toml:4: unknown key 'sinks.qa.lgs'; did you mean 'logs'",
        "--submit nope: there is no such sink",
        "--submit: url=http:///x: write http://HOST/PATH",
    ):
        assert words in session.output
    assert "s3cret" not in session.output
    assert not session.folder.exists()
    code, session = desk.run(*BOARD, "--submit-wait=soon", run="run2")
    assert (code, "write a time such as 90s" in session.output) == (4, True)


def test_a_server_that_is_down_gets_it_with_the_next_run(desk: Desk) -> None:
    """Nothing fails, but with --submit-strict; and the next run, which submits nothing itself, sends it."""
    with receiver(desk.folder / "server") as server, fault_proxy(server.address, "503") as proxy:
        code, first = desk.run(*BOARD, "--command=true", "--submit", proxy.url(), "--submit-wait=1s")
        assert code == 0
        assert re.search(r"^waiting  http-127.0.0.1: .*maintenance", first.output, re.MULTILINE), first.output
        assert re.search(r"^later    pytest-lava submit --all$", first.output, re.MULTILINE), first.output
        (item,) = new_items(desk)
        code, quiet = desk.run(*BOARD, "--command=sleep 1", "--offline", run="quiet")
        assert "older" not in quiet.output
        assert new_items(desk) == [item]
        code, second = desk.run(*BOARD, "--command=sleep 3", run="second")
        assert code == 0
        assert re.search(r"^older    1 sent$", second.output, re.MULTILINE), second.output
        assert server.stored == {uuid_of(first): (first.folder / "bundle.json").read_bytes()}
    code, strict = desk.run(
        *BOARD, "--command=true", "--submit=http://127.0.0.1:1/", "--submit-strict", "--submit-wait=1s", run="strict"
    )
    assert code == 1, strict.output
    assert "waiting  http-127.0.0.1: cannot reach http://127.0.0.1:1/: Connection refused" in strict.output


def test_the_end_on_a_terminal_is_not_delayed(desk: Desk) -> None:
    """A server that refuses, one that hangs and none, with the settings that everybody has."""

    def took(*words: str) -> float:
        begin = time.monotonic()
        outer, inner = pty.openpty()
        command = desk.command(*BOARD, "--command=true", "--no-snapshot", *words)
        env = {name: value for name, value in desk.env.items() if name != "CI"}
        with subprocess.Popen(command, cwd=desk.folder, env=env, stdin=inner, stdout=inner, stderr=inner) as process:
            os.close(inner)
            said = b""
            while True:
                try:
                    said += os.read(outer, 65536)
                except OSError:
                    break
            assert process.wait(30) == 0, said.decode(errors="replace")
        os.close(outer)
        if words:
            assert b"waiting  http-127.0.0.1" in said, said.decode(errors="replace")
        return time.monotonic() - begin

    without = min(took(), took())
    slowness = max(1.0, without / 1.5)  # a quiet machine takes no longer for such a run
    refusing = took("--submit=http://127.0.0.1:1/x") - without
    with receiver(desk.folder / "server") as server, fault_proxy(server.address, *["hang"] * 9) as proxy:
        hanging = took("--submit", proxy.url()) - without
    print(f"without {without:.2f} s, refusing {refusing:.2f} s more, hanging {hanging:.2f} s more")
    assert refusing <= 2.0 * slowness
    assert hanging <= 2.0 + 1.0 * slowness  # the limit of 2 s, and what it takes to begin and to end


def test_no_spool_no_harm(desk: Desk) -> None:
    """A spool that cannot be written: the run goes on, and the command that is told does it."""
    desk.write("file", "in the way")
    code, session = desk.run(*BOARD, "--command=true", "--submit=./out", "--lava-spool=file/spool")
    assert code == 0
    assert "problem  the results could not be kept to be submitted: the spool" in session.output
    told = re.search(r"^later    pytest-lava (submit \S+)$", session.output, re.MULTILINE)
    assert told, session.output
    assert desk.cli(*told[1].split()).returncode == 0  # with the spool of the user
    assert (desk.folder / "out" / uuid_of(session) / "bundle.json").is_file()
    code, _ = desk.run(*BOARD, "--command=true", "--submit=./out", "--lava-spool=file/s", "--submit-strict", run="2")
    assert code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_is_submitted(desk: Desk, number: signal.Signals) -> None:
    """By itself if it ends in order, else by the command, which knows where from the journal."""
    desk.write("test_it.py", SLEEPS)
    session = desk.start(*BOARD, "test_it.py", "--submit=./out")
    session.reach("asleep")
    if number == signal.SIGKILL:
        early = desk.cli("submit", "run")
        assert (early.returncode, "still goes on (pid" in early.stderr) == (4, True), early.stderr
    session.signal(number)
    session.wait()
    if number == signal.SIGKILL:
        assert not (desk.folder / "out").exists()
        done = desk.cli("submit", "run")
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert "sent     file-out" in session.output, session.output
    content = json.loads((desk.folder / "out" / uuid_of(session) / "bundle.json").read_text())
    results = {one["test_case_id"]: one["result"] for run in content["test_runs"] for one in run["test_results"]}
    assert results["test_good"] == "pass", results
    assert results["test_sleeps"] != "pass"


def _sent(new: Path) -> bool:
    return any('"sent"' in path.read_text() for path in new.glob("*/state/file-out.json"))


def test_a_signal_ends_the_waiting(desk: Desk) -> None:
    """In CI one waits for two minutes, but not if it is told to end; nothing is lost by it."""
    with receiver(desk.folder / "server") as server, fault_proxy(server.address, *["hang"] * 9) as proxy:
        session = desk.start(*BOARD, "--command=true", "--submit", proxy.url(), "--submit=./out", env={"CI": "1"})
        states = desk.folder / "xdg-state/pytest-lava/spool/new"
        until(lambda: "hang" in proxy.met and _sent(states), 60, "try to submit")
        assert "for at most 1" in session.output
        begin = time.monotonic()
        session.signal(signal.SIGTERM)
        session.wait(20)
        assert time.monotonic() - begin < 5
    assert "problem  submitting was interrupted" in session.output, session.output
    assert "sent     file-out" in session.output
    assert "waiting  http-127.0.0.1: it had not answered when it was interrupted" in session.output
    assert len(new_items(desk)) == 1


def test_a_board_that_does_not_boot_and_workers(desk: Desk) -> None:
    """Results are submitted whatever they are, and once, by the controller."""
    desk.write("boards/dead.toml", 'arch = "host"\nconsole = "exec:sleep 60"\nboot = "login"\npower = "none"\n'
               "[timeouts]\nlogin = 1\nkernel = 1\n[retry]\nboot = 1\n")  # fmt: skip
    code, session = desk.run("--board=dead", "--command=true", "--submit=./out")
    assert code in (1, 69), session.output
    assert (desk.folder / "out" / uuid_of(session) / "bundle.json").is_file(), session.output
    desk.write("test_it.py", "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_n(shell, n, request):\n"
               "    assert 'geheim' not in repr(request.config.option)\n")  # fmt: skip
    code, session = desk.run(*BOARD, "-n2", "test_it.py", "--submit=./out2", "--submit=http://u:geheim@127.0.0.1:1/",
                             "--submit-wait=1s", run="two")  # fmt: skip
    assert code == 0, session.output
    assert [path.name for path in (desk.folder / "out2").iterdir()] == [uuid_of(session)]


def test_a_dashboard_gets_the_very_bytes(desk: Desk) -> None:
    """Of a whole run, into a stream of its user; the token is in the URL, and after the run in the environment."""
    with dashboard_server() as server, fault_proxy(("127.0.0.1", server.port), "lost answer") as proxy:
        url = proxy.url("/RPC2/?stream=/private/personal/lab/")
        to = "dashboard+" + url.replace("//", "//lab:s3cr3t-t0ken@", 1)
        code, session = desk.run(*BOARD, "--command=true", "--submit", to, "--submit-wait=0")
        assert code == 0, session.output
        assert "s3cr3t" not in session.output + "".join(
            path.read_text(errors="replace") for path in desk.folder.rglob("*.json*")
        )
        assert desk.cli("submit", "--all", "--wait=1s").returncode != 0  # nobody told it the token any more
        desk.env["PYTEST_LAVA_TOKEN_DASHBOARD_127_0_0_1"] = "s3cr3t-t0ken"
        assert desk.cli("spool", "retry", "--all").returncode == 0
        done = desk.cli("submit", "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        (stored,) = server.bundles.values()
    assert stored.imported
    assert stored.content.encode() == (session.folder / "bundle.json").read_bytes()
