"""A thousand cases in one definition: what they cost this process, and that each report has all of them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from support.face import Face

#: what a case may cost: seconds of this process, its board's not among them, and what all may add to its memory (kB)
CPU, MEMORY = 0.003, 20 << 10
MEASURE = """
import pathlib, time
def pytest_unconfigure(config):
    status = pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    pathlib.Path("cost").write_text(f"{time.process_time()} {status}")
"""


def cost(face: Face, cases: int) -> tuple[float, int]:
    """Seconds and kB of a run with so many cases, a third of which fail."""
    step = (
        f"set +x; i=0; while [ $i -lt {cases} ]; do case $((i % 3)) in 0) result=fail;; *) result=pass;; esac; "
        "lava-test-case c$i --result $result --measurement $i; i=$((i+1)); done"
    )
    face.path.joinpath("many.yaml").write_text(
        f'metadata: {{format: Lava-Test Test Definition 1.0, name: many}}\nrun: {{steps: ["{step}"]}}\n'
    )
    failed = -(-cases // 3)
    face.run("many.yaml", "--board=localhost", "-q", passed=cases - failed, failed=failed + 1)
    seconds, memory = (face.path / "cost").read_text().split()
    return float(seconds), int(memory)


def test_what_they_cost(face: Face) -> None:
    Path("conftest.py").write_text(MEASURE)
    (few, little), (many, much) = cost(face, 20), cost(face, 1000)
    print(f"{(many - few) / 980 * 1000:.2f} ms a case, {(much - little) / 1024:.1f} MB for all")
    assert (many - few) / 980 <= CPU
    assert much - little <= MEMORY
    (suite,) = ET.parse(face.latest / "junit.xml").getroot()
    assert int(suite.get("tests", 0)) == len(list(suite.iter("testcase"))) == 1001
    found = face.results()["many"]
    assert {name: one["measurement"] for name, one in found.items()} == {f"c{number}": number for number in range(1000)}
