"""The shortest proof that a board is usable; runs on busybox and on full systems."""


def test_shell_answers(shell):
    result = shell.run("echo out; echo err >&2; exit 3")
    assert (result.returncode, result.stdout, result.stderr) == (3, "out\n", "err\n")


def test_kernel_is_the_one_deployed(shell, kernel):
    release = shell.check("uname -r").stdout.strip()
    assert release
    if kernel is not None and kernel.file.release:
        assert release == kernel.file.release


def test_proc_and_sys_are_mounted(shell):
    for path in ("/proc/cpuinfo", "/proc/meminfo", "/sys/kernel"):
        shell.check(f"test -e {path}")


def test_memory_is_there(shell):
    found = dict(line.split(":", 1) for line in shell.check("cat /proc/meminfo").stdout.splitlines() if ":" in line)
    kilobytes = int(found["MemTotal"].split()[0])
    assert kilobytes > 16 * 1024, f"only {kilobytes} kB of memory"


def test_time_passes(shell):
    before, after = shell.check("cat /proc/uptime; sleep 1; cat /proc/uptime").stdout.splitlines()
    assert float(after.split()[0]) - float(before.split()[0]) >= 0.9


def test_a_file_can_be_written(shell):
    shell.check('f=$(mktemp) && echo content >$f && test "$(cat $f)" = content; s=$?; rm -f $f; exit $s')
