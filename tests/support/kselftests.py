"""A small installed kselftest tree: programs, and a runner that prints what the kernel's ``runner.sh`` of 6.12 does."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_tree"]

#: TAP per collection; a program's output behind ``# ``, its status as ``SKIP`` (4), ``TIMEOUT`` (124) or ``exit=``
_RUNNER = """\
#!/bin/sh
cd "$(dirname "$0")" || exit 1
log=/dev/stdout wanted= override=
while [ $# -gt 0 ]; do
  case $1 in
    -t) wanted="$wanted $2"; shift 2;;
    -l) cat kselftest-list.txt; exit 0;;
    -o | --override-timeout) override=$2; shift 2;;
    *) exit 1;;
  esac
done
for one in $wanted; do
  grep -qx "$one" kselftest-list.txt || { echo "No such test '$one'" >&2; exit 1; }
  collection=${one%%:*} program=${one#*:}
  echo "TAP version 13"
  echo "1..1"
  limit=45
  [ ! -r $collection/settings ] || limit=$(sed -n 's/^timeout=//p' $collection/settings)
  limit=${override:-$limit}
  echo "# timeout set to $limit"
  echo "# selftests: $collection: $program"
  status=0
  (cd $collection && timeout $limit ./$program 2>&1; echo $? >../status) | sed -u -e 's/^/# /' >>$log
  read -r status <status
  case $status in
    0) echo "ok 1 selftests: $collection: $program";;
    4) echo "ok 1 selftests: $collection: $program # SKIP";;
    124) echo "not ok 1 selftests: $collection: $program # TIMEOUT $limit seconds";;
    *) echo "not ok 1 selftests: $collection: $program # exit=$status";;
  esac
done
"""
_PROGRAMS = {
    "timers/posix_timers": "TAP version 13\n1..3\nok 1 virtual\n#   a diagnostic\nnot ok 2 prof\n"
    "ok 3 # SKIP no real one\n",
    "timers/plain": "no TAP at all\n",
    "net/gro.sh": "needs a device\n",
    "net/harness": "TAP version 13\n1..1\n# Starting 1 tests from 1 test cases.\n#  RUN           global.a ...\n"
    "ok 1 global.a\n",
    "futex/run.sh": "\nTAP version 13\n1..1\nok 1 requeue\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n\n"
    "TAP version 13\n1..2\nok 1 wait\nok 2 wake\n# Totals: pass:2 fail:0 xfail:0 xpass:0 skip:0 error:0\n",
    "kcmp/kcmp_test": "TAP version 13\n1..3\nPASS: 0 returned as expected\n"
    "# Totals: pass:3 fail:0 xfail:0 xpass:0 skip:0 error:0\n",
    "sync/sync_test": "TAP version 13\n1..0 # SKIP no sync framework\n",
}
_STATUSES = {"timers/posix_timers": 1, "net/gro.sh": 4, "sync/sync_test": 4}


def make_tree(folder: Path, more: dict[str, str] | None = None, *, old: bool = False) -> Path:
    """The tree in ``folder``; ``more`` are further programs by ``COLLECTION/NAME``, as scripts.

    The runner of an ``old`` one takes no other limit, as that of Linux 6.1.
    """
    runner = _RUNNER.replace("-o | --override-timeout)", "--no-such)") if old else _RUNNER
    scripts = {
        name: f"cat <<'X'\n{text}X\nexit {_STATUSES.get(name, 0)}\n" for name, text in _PROGRAMS.items()
    }  # fmt: skip
    scripts |= more or {}
    for name, script in {
        "run_kselftest.sh": runner,
        **{name: f"#!/bin/sh\n{text}" for name, text in scripts.items()},
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (folder / "net" / "settings").write_text("# a limit\ntimeout=2\n")
    (folder / "kselftest-list.txt").write_text("".join(name.replace("/", ":") + "\n" for name in scripts))
    return folder
