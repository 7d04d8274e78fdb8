"""Files that tests attach, or are marked to collect, in run folder, bundle, JUnit's neighbours and HTML."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from support.face import Face

pytestmark = pytest.mark.e2e

ATTACH = """
    import pytest
    D = "{folder}"
    def test_all_kinds(shell, record_file, tmp_path):
        shell.check("mkdir d; echo hällo >x.log; echo two >d/x.log; printf 'a\\\\0b' >raw.log", cwd=D)
        assert record_file(f"{{D}}/x.log").read_text() == "hällo\\n"
        record_file(f"{{D}}/d/x.log")
        record_file(f"{{D}}/raw.log", "trace.dat")
        record_file.content("../../escape", b"made here")
        (tmp_path / "p.png").write_bytes(b"\\x89PNG\\0")
        record_file.here(tmp_path / "p.png")
        record_file.here(tmp_path / "p.png")
    @pytest.mark.collect_files(f"{{D}}/*.log", "/nosuch", f"{{D}}/d", f"{{D}}/[x].log")
    def test_fails_and_is_collected(shell):
        shell.check(f"echo three >'{{D}}/a b.log'")
        assert not "passed"
    @pytest.fixture
    def broken(shell):
        raise RuntimeError("no set-up")
    @pytest.mark.collect_files(f"{{D}}/x.log")
    def test_set_up_fails(broken): pass
    @pytest.mark.collect_files(f"{{D}}/x.log")
    @pytest.mark.timeout(1)
    def test_takes_too_long(shell): shell.run("sleep 60")
    @pytest.mark.collect_files(f"{{D}}/x.log")
    def test_shell_ends(shell): shell.run("kill -9 $$")
    def test_no_such_file(record_file): record_file("/nosuch")
    @pytest.mark.collect_files(f"{{D}}/x.log")
    @pytest.mark.skip(reason="not now")
    def test_skipped(shell): pass
    @pytest.fixture
    def removes(shell):
        yield
        shell.check(f"rm {{D}}/x.log")
    @pytest.mark.collect_files(f"{{D}}/x.log")
    def test_is_collected_before_fixtures_clean_up(removes): pass
"""


def attached(case: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    own = ("output.txt", "failure.txt", "console.txt", "evidence.txt")
    return {
        one["pathname"]: (one["mime_type"], base64.b64decode(one["content"]))
        for one in case.get("attachments", [])
        if one["pathname"] not in own
    }


def test_files_belong_to_their_tests(face: Face) -> None:
    (folder := face.path / "things").mkdir()
    face.write(test_it=ATTACH.format(folder=folder))
    result = face.run("--board=localhost", "test_it.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*- Not collected at teardown -*",
            "/nosuch was not collected: there is no such file",
            f"{folder}/d was not collected: it is a folder: write {folder}/d/[*] for the files in it",
        ]
    )
    found = face.results()["test-it.py"]
    assert attached(found["test_all_kinds"]) == {
        "x.log": ("text/plain", "hällo\n".encode()),
        f"{str(folder).strip('/')}/d/x.log": ("text/plain", b"two\n"),
        "trace.dat": ("application/octet-stream", b"a\0b"),
        "../../escape": ("text/plain", b"made here"),
        "p.png": ("image/png", b"\x89PNG\0"),
        "p-2.png": ("image/png", b"\x89PNG\0"),
    }
    x = {"x.log": ("text/plain", "hällo\n".encode())}
    assert attached(found["test_fails_and_is_collected"]) == {
        **x, "a b.log": ("text/plain", b"three\n"), "raw.log": ("application/octet-stream", b"a\0b"),
    }  # fmt: skip
    for name in ("test_set_up_fails", "test_takes_too_long", "test_is_collected_before_fixtures_clean_up"):
        assert attached(found[name]) == x, name
    for name in ("test_shell_ends", "test_no_such_file", "test_skipped"):
        assert attached(found[name]) == {}, name
    assert found["test_no_such_file"]["message"] == "cannot use /nosuch on the board: there is no such file"
    inside = {path.relative_to(face.latest / "files") for path in (face.latest / "files").rglob("*")}
    assert len({path.parts[0] for path in inside}) >= 5
    assert not (face.path / "escape").exists()
    page = (face.latest / "report.html").read_text()
    for name in ("a_b.log", "p.png", "trace.dat"):
        assert f"/{name}" in page
    said = [line["message"] for line in face.events() if "nothing was collected" in line["message"]]
    assert len(said) == 1


def test_files_of_workers(face: Face) -> None:
    face.write(
        test_it="""
            import pytest
            @pytest.mark.parametrize("n", range(4))
            @pytest.mark.collect_files("/proc/version")
            def test_it(record_file, n): record_file.content("n.txt", f"{n}")
        """
    )
    face.run("--board=localhost", "test_it.py", "-n2", passed=4)
    for number in range(4):
        files = attached(face.results()["test-it.py"][f"test_it[{number}]"])
        assert files["n.txt"] == ("text/plain", b"%d" % number)
        assert files["version"][1].startswith(b"Linux version")
    assert "n.txt" in (face.latest / "report.html").read_text()


def test_wrong_marks_are_told_before_a_board_is_touched(face: Face) -> None:
    face.write(
        test_it="""
            import pytest
            @pytest.mark.collect_files()
            def test_empty(shell): pass
            @pytest.mark.collect_files("/a", 5, when="failed")
            def test_wrong(shell): pass
            @pytest.mark.collect_files("/a")
            def test_no_board(): pass
        """
    )
    result = face.here("--board=localhost", "test_it.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line.removeprefix("ERROR: ") for line in result.errlines if line.strip()] == [
        "test_it.py::test_empty: @pytest.mark.collect_files: it says nothing: name files of the board, such as "
        'collect_files("/var/log/*.log")',
        "test_it.py::test_wrong: @pytest.mark.collect_files: a file's name has to be a text, not 5",
        "test_it.py::test_wrong: @pytest.mark.collect_files: there is no 'when', and no other keyword",
        "test_it.py::test_no_board: it is marked for a board and uses none: add 'shell' or 'board' to its parameters",
    ]
