"""Signals under 200 kernel messages a second, and a definition that restarts its board, on one arm64 board."""

from __future__ import annotations

import pytest
from support.face import Face
from support.torture import count

pytestmark = pytest.mark.emulated

HEAD = "metadata: {{format: Lava-Test Test Definition 1.0, name: {name}}}\nrun:\n  steps:\n"
#: messages that look like signals; what is owed to their rate since the start is made up for in a burst
RATE = 200
NOISE = """\
    - |
      set +x; dmesg -n 8; started=$(cut -d. -f1 /proc/uptime)
      (n=0; since=$started; while :; do
        read now rest </proc/uptime; owed=$(((${{now%.*}} - since) * {rate} + (1${{now#*.}} - 100) * {rate} / 100))
        while [ $n -lt $owed ]; do
          n=$((n + 1)); echo "<3>noise <LAVA_SIGNAL_TESTCASE TEST_CASE_ID=case-$n RESULT=fail" >/dev/kmsg; done
        sleep 0.05; done) &
      noise=$!
      i=0; while [ $i -lt {cases} ]; do
        [ $((i % 50)) != 0 ] || lava-test-set start set$((i / 50))
        case $((i % 3)) in 0) r=pass;; 1) r=fail;; *) r=skip;; esac
        lava-test-case case-$i --result $r --measurement $i --units things
        i=$((i + 1)); done
      kill $noise; dmesg -n 1
      lava-test-set stop; lava-test-case seconds --result pass --measurement $(($(cut -d. -f1 /proc/uptime) - started))
"""
RESULTS = ("pass", "fail", "skip")


def test_none_wrong_none_lost_and_a_board_that_restarts(face: Face) -> None:
    face.snapshots = True
    cases = count(1000)
    (face.path / "noise.yaml").write_text(HEAD.format(name="noise") + NOISE.format(cases=cases, rate=RATE))
    (face.path / "restart.yaml").write_text(
        HEAD.format(name="restart") + "    - lava-test-case before --result pass\n    - reboot -f\n    - sleep 100\n"
    )
    (face.path / "after.yaml").write_text(HEAD.format(name="after") + "    - lava-test-case alive --shell uname -m\n")
    face.run("noise.yaml", "restart.yaml", "after.yaml", "--board=qemu-arm64", "--kernel-messages=ignore")
    found = face.results()
    expected = {f"set{i // 50}.case-{i}": (RESULTS[i % 3], i) for i in range(cases)}
    told = {name: (one["result"], one["measurement"]) for name, one in found["noise"].items()}
    seconds = told.pop("seconds")[1]
    assert told == expected
    messages = (face.latest / "console.log").read_bytes().count(b"noise <LAVA_SIGNAL")
    print(f"{cases} cases in {seconds} s, {messages / max(seconds, 1):.0f} messages a second")
    assert messages > cases / 2, "the kernel was silent"
    assert (found["restart"]["before"]["result"], found["restart"]["restart"]["result"]) == ("pass", "fail")
    assert found["restart"]["restart"]["attributes"]["error.class"] in ("UnexpectedReset", "KernelCrash")
    assert found["after"]["alive"]["result"] == "pass"
