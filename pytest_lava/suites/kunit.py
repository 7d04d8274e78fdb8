"""How KUnit's results are read on a board: from debugfs (CONFIG_KUNIT_DEBUGFS), or from the log of its boot."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

__all__ = ["kunit_command"]

_DEBUGFS = """\
d=/sys/kernel/debug m= s=0
[ -d $d/kunit ] || { mount -t debugfs none $d 2>/dev/null && m=1; } || :
set -- $d/kunit/*/results
if [ -e "$1" ]; then cat "$@"; else
 echo "no KUnit results in $d/kunit: the kernel needs CONFIG_KUNIT, CONFIG_KUNIT_DEBUGFS and a test"; s=1
fi
[ -z "$m" ] || umount $d
"""
_BOOT = """\
s=0
dmesg | grep -q 'TAP version' || {
 echo "no KUnit results in the kernel's log: none is built in, or they are overwritten (boot with log_buf_len=4M)"; s=1
}
dmesg
"""


def kunit_command(where: str, modules: Sequence[str]) -> str:
    """What prints the results; ``where`` is ``debugfs`` or ``boot``. Its status is 1 if there are none."""
    load = "".join(f"modprobe {shlex.quote(one)}\n" for one in modules)
    unload = "".join(f"modprobe -r {shlex.quote(one)} 2>/dev/null || :\n" for one in reversed(modules))
    return f"{load}{_DEBUGFS if where == 'debugfs' else _BOOT}{unload}exit $s\n"
