"""Definitions on an emulated board: under a kernel that talks, and through its death."""

from __future__ import annotations

import pytest
from support.face import Face

pytestmark = pytest.mark.emulated

HEAD = "metadata: {{format: Lava-Test Test Definition 1.0, name: {name}}}\n"
NOISE = (
    "dmesg -n 8; (set +x; while :; do echo '<3>a word of the kernel' >/dev/kmsg; done) & n=$!",
    "i=0; while [ $i -lt 100 ]; do [ $((i % 20)) != 0 ] || lava-test-set start set$((i / 20)); "
    "lava-test-case case-$i --result pass; i=$((i + 1)); done",
    "kill $n; dmesg -n 1",
)


def definition(name: str, *steps: str, more: str = "") -> str:
    return HEAD.format(name=name) + "run:\n  steps:\n" + "".join(f'    - "{step}"\n' for step in steps) + more


def test_a_kernel_that_talks_and_one_that_dies(face: Face) -> None:
    face.snapshots = True
    crash = "lava-test-case before --result pass", "echo c >/proc/sysrq-trigger", "lava-test-case never --result pass"
    for name, text in {
        "noise": definition("noise", *NOISE),
        "crash": definition("crash", *crash, more="expected: [before, behind]\n"),
        "after": definition("after", "lava-test-case alive --result pass", "uname -m | grep x86_64"),
    }.items():
        (face.path / f"{name}.yaml").write_text(text)
    face.run(
        "noise.yaml",
        "crash.yaml",
        "after.yaml",
        "--board=qemu-x86_64",
        "--kernel-messages=ignore",
        passed=104,
        failed=2,
    )
    found = face.results()
    assert set(found["noise"]) == {f"set{number // 20}.case-{number}" for number in range(100)}
    assert (face.latest / "console.log").read_bytes().count(b"a word of the kernel") > 200
    assert {name: one["result"] for name, one in found["crash"].items()} == {
        "crash": "fail", "before": "pass", "behind": "fail",
    }  # fmt: skip
    assert found["crash"]["crash"]["attributes"]["error.class"] == "KernelCrash"
    assert found["after"]["alive"]["result"] == "pass"
