"""A small installed kselftest tree: programs, and a runner that prints what the kernel's ``runner.sh`` does."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_tree"]

#: TAP per collection; a program's output behind ``# ``, its status as ``SKIP`` (4), ``TIMEOUT`` (124) or ``exit=``
_RUNNER = """\
#!/bin/sh
cd "$(dirname "$0")" || exit 1
log=/dev/stdout wanted=
while [ $# -gt 0 ]; do
  case $1 in
    -t) wanted="$wanted $2"; shift 2;;
    -l) cat kselftest-list.txt; exit 0;;
    *) exit 1;;
  esac
done
for one in $wanted; do
  grep -qx "$one" kselftest-list.txt || { echo "No such test '$one'" >&2; exit 1; }
  collection=${one%%:*} program=${one#*:}
  echo "TAP version 13"
  echo "1..1"
  echo "# timeout set to 45"
  echo "# selftests: $collection: $program"
  status=0
  (cd $collection && ./$program 2>&1; echo $? >../status) | sed -e 's/^/# /' >>$log
  read -r status <status
  case $status in
    0) echo "ok 1 selftests: $collection: $program";;
    4) echo "ok 1 selftests: $collection: $program # SKIP";;
    124) echo "not ok 1 selftests: $collection: $program # TIMEOUT 45 seconds";;
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
}
_STATUSES = {"timers/posix_timers": 1, "net/gro.sh": 4}


def make_tree(folder: Path, more: dict[str, str] | None = None) -> Path:
    """The tree in ``folder``; ``more`` are further programs by ``COLLECTION/NAME``, as scripts."""
    scripts = {
        name: f"cat <<'X'\n{text}X\nexit {_STATUSES.get(name, 0)}\n" for name, text in _PROGRAMS.items()
    }  # fmt: skip
    scripts |= more or {}
    for name, script in {
        "run_kselftest.sh": _RUNNER,
        **{name: f"#!/bin/sh\n{text}" for name, text in scripts.items()},
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (folder / "kselftest-list.txt").write_text("".join(name.replace("/", ":") + "\n" for name in scripts))
    return folder
