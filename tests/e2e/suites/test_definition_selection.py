"""Which definitions and cases run: by node id on one of several boards, in workers, after a failure."""

from __future__ import annotations

from support.face import Face

DEFINITION = """\
metadata: {{format: Lava-Test Test Definition 1.0, name: {name}}}
run:
  steps: [lava-test-case good --result pass, lava-test-set start s, lava-test-case bad --result fail]
"""


def write(face: Face, *names: str) -> None:
    for name in names:
        (face.path / f"{name}.yaml").write_text(DEFINITION.format(name=name))


def nodes(face: Face) -> set[str]:
    return {line["nodeid"] for line in face.journal() if line["when"] == "call"}


def test_a_case_on_one_of_two_boards(face: Face) -> None:
    face.board("other", 'extends = "localhost"\n')
    write(face, "one")
    boards = "--board=localhost", "--board=other"
    face.run("one.yaml::s::bad[other]", *boards, failed=2)
    assert nodes(face) == {"one.yaml::s::bad[other]", "one.yaml::one[other]"}
    face.run("one.yaml::good", *boards, passed=4)


def test_a_case_in_workers(face: Face) -> None:
    write(face, "one")
    face.run("one.yaml::s::bad", "--board=localhost", "-n2", failed=2)
    assert nodes(face) == {"one.yaml::s::bad", "one.yaml::one[localhost]"}


def test_the_last_failures_and_the_first_in_workers(face: Face) -> None:
    write(face, "one", "two")
    (face.path / "three.yaml").write_text(DEFINITION.format(name="three").replace("fail", "pass"))
    files = "one.yaml", "two.yaml", "three.yaml"
    face.run(*files, "--board=localhost", passed=5, failed=4)
    result = face.run(*files, "--board=localhost", "--lf", "-n2", passed=2, failed=4)
    assert {node.partition(".")[0] for node in nodes(face)} == {"one", "two"}
    face.run("one.yaml", "two.yaml", "--board=localhost", "-x", "-n1", passed=1, failed=2)
    assert {node.partition(".")[0] for node in nodes(face)} == {"one"}
    assert result.ret == 1
