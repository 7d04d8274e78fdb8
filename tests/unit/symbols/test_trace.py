"""What of a kernel's words names code, as kernels of several architectures print it."""

from __future__ import annotations

import pytest

from pytest_lava.symbols.trace import Frame, Reference, annotated, references

X86 = """\
[    2.100000] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    2.100001] RIP: 0010:lkdtm_EXCEPTION+0x4/0x10 [lkdtm]
[    2.100002] Code: 00 00 00 c7 04 25 00 00 00 00 00 00 00 00 c3
[    2.100003] RSP: 0018:ffffc90000013e40 EFLAGS: 00010246
[    2.100004] Call Trace:
[    2.100005]  <TASK>
[    2.100006]  lkdtm_EXCEPTION+0x4/0x10 [lkdtm]
[    2.100007]  lkdtm_do_action+0x14/0x20 [lkdtm 0123456789abcdef0123456789abcdef01234567]
[    2.100008]  ? __wake_up_common.isra.0+0x50/0x60
[    2.100009]  entry_SYSCALL_64_after_hwframe+0x4b/0xb5
[    2.100010] RIP: 0033:0x7f4e1c2a5a37
"""


def only(text: str) -> Reference:
    (one,) = (one for line in references(text) for one in line)
    return one


def test_a_trace_of_x86() -> None:
    found = references(X86)
    assert [len(line) for line in found] == [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    rip, first, second = found[1][0], found[6][0], found[7][0]
    assert rip == Reference("lkdtm_EXCEPTION", 4, 16, "lkdtm", exact=True)
    assert first == rip  # the first entry of a trace is the instruction itself
    assert second.build_id == "0123456789abcdef0123456789abcdef01234567"
    assert (second.exact, second.spot) == (False, 0x13)
    assert found[8][0].symbol == "__wake_up_common.isra.0"


@pytest.mark.parametrize(
    ("line", "name", "exact"),
    [
        ("pc : sysrq_handle_crash+0x18/0x20", "sysrq_handle_crash", True),
        ("lr : sysrq_handle_crash+0x14/0x20", "sysrq_handle_crash", False),
        ("PC is at sysrq_handle_crash+0x18/0x20", "sysrq_handle_crash", True),
        ("LR is at handle_sysrq+0x18/0x20", "handle_sysrq", False),
        (" sysrq_handle_crash from __handle_sysrq+0xb8/0x1c0", "__handle_sysrq", False),
        ("[<c010f5b8>] (unwind_backtrace) from [<c010bcf8>] (show_stack+0x10/0x14)", "show_stack", False),
        ("EIP: die+0x1/0x2", "die", True),
        ("epc : die+0x1/0x2", "die", True),
        ("epc   : 80105678 die+0x1/0x2", "die", True),
        ("NIP [c000000000012345] die+0x1/0x2", "die", True),
        ("WARNING: CPU: 0 PID: 7 at mm/slub.c:1 kfree+0x1/0x2", "kfree", True),
        ("WARNING: mm/slub.c:1 at kfree+0x1/0x2, CPU#0: sh/7", "kfree", True),
        (" #0: ffff888 (&lock){+.+.}-{3:3}, at: proc_write+0x1/0x2 [mine]", "proc_write", False),
    ],
)
def test_other_forms(line: str, name: str, exact: bool) -> None:
    assert (only(line).symbol, only(line).exact) == (name, exact)


@pytest.mark.parametrize("line", ["PGD 0 P4D 0", "0x12+0x34/0x56", "a call of foo+0x12", "http://x/y+0xz/0x1", ""])
def test_what_names_no_code(line: str) -> None:
    assert references(line) == ([[]] if line else [])


def test_lines_of_source_stand_behind_what_the_kernel_said() -> None:
    rip = references(X86)[1][0]
    frames = {rip: [Frame("inner", "a.h", 3), Frame("lkdtm_EXCEPTION", "drivers/misc/lkdtm/bugs.c", 120)]}
    lines = annotated(X86, frames).splitlines()
    kept = [line for line in lines if "inlined into" not in line]
    assert [new.startswith(old) for old, new in zip(X86.splitlines(), kept, strict=True)] == [True] * len(kept)
    assert lines[1] == "[    2.100001] RIP: 0010:lkdtm_EXCEPTION+0x4/0x10 [lkdtm] (a.h:3)"
    assert lines[2].strip() == "inner inlined into lkdtm_EXCEPTION (drivers/misc/lkdtm/bugs.c:120)"
    assert sum("(a.h:3)" in line for line in lines) == 2


def test_a_call_that_never_returns_is_in_the_function_before() -> None:
    one = only("  sysrq_reset_seq_param_set+0x0/0xa0")
    assert (one.spot, one.before) == (-1, True)
    frames = {one: [Frame("sysrq_handle_crash", "drivers/tty/sysrq.c", 154)]}
    assert annotated("  sysrq_reset_seq_param_set+0x0/0xa0", frames).endswith(
        " (sysrq_handle_crash, drivers/tty/sysrq.c:154)"
    )
    assert not only("pc : start+0x0/0xa0").before


def test_a_text_without_end_is_cut() -> None:
    assert sum(map(len, references("die+0x1/0x2\n" * 5000))) == 1000
