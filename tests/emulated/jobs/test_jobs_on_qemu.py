"""LAVA v2 jobs for QEMU, as people submit them: their files over http, their definitions from git, on two workers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.face import Face
from support.webserver import web_server

from pytest_lava.images.cache import cache_dir

pytestmark = pytest.mark.emulated

JOB = """\
device_type: qemu
job_name: everything
timeouts:
  job: {minutes: 10}
  action: {minutes: 4}
  connection: {minutes: 2}
priority: medium
visibility: public
context: {arch: amd64, guestfs_interface: virtio, extra_options: ['-smp 2']}
metadata: {build: "4711"}
actions:
- deploy:
    timeout: {minutes: 5}
    to: tmpfs
    os: debian
    images:
      kernel:
        image_arg: -kernel {kernel} -append "console=ttyS0,115200 root=/dev/ram0 verbose"
        url: URL/vmlinuz
        sha256sum: SUM
      ramdisk:
        image_arg: -initrd {ramdisk} -m 300
        url: URL/initrd.img
- boot: {method: monitor, timeout: {minutes: 3}}
- test:
    monitors:
    - name: keys
      start: Booting paravirtualized kernel
      end: Run /init
      pattern: 'Key type (?P<test_case_id>\\S+) (?P<result>registered)'
      fixupdict: {registered: pass}
      expected: [asymmetric, missing]
- boot:
    method: qemu
    media: tmpfs
    failure_retry: 2
    prompts: ['/ #', '~ #']
- test:
    timeout: {minutes: 3}
    definitions:
    - repository:
        metadata: {format: Lava-Test Test Definition 1.0, name: smoke-basic}
        run:
          steps:
          - lava-test-case cpus --shell '[ $(nproc) = 2 ]'
          - lava-test-case memory --result pass --measurement $(grep -o '[0-9]*' /proc/meminfo | head -n1) --units kB
          - lava-test-case bad --shell false
      from: inline
      lava-signal: kmsg
      name: smoke
      path: inline/smoke.yaml
    - {from: git, repository: 'file://REPO', path: x.yaml, name: from-git, parameters: {WORD: job}}
- test:
    interactive:
    - name: talk
      prompts: ['~ # ', '/ # ']
      script:
      - name: machine
        command: uname -m
        successes: [{message: 'x86_(?P<bits>\\d+)'}]
        failures: [{message: not found}]
      - {name: bits, command: 'echo it has {bits}', successes: [{message: has 64}]}
      - {command: null, delay: 1}
      - {name: nothing, command: nosuch, successes: [{message: fine}], failures: [{message: not found}]}
- test:
    definitions:
    - {from: git, repository: 'file://REPO', path: x.yaml, name: behind}
"""
BOOTS = """\
device_type: qemu
job_name: it boots
timeouts: {job: {minutes: 5}}
context: {arch: arm64, machine: virt, cpu: cortex-a57}
actions:
- deploy:
    to: tmpfs
    images:
      kernel: {image_arg: '-kernel {kernel} -append "console=ttyAMA0"', url: URL/Image}
      initrd: {image_arg: '-initrd {initrd}', url: URL/initrd-arm64.img}
- boot: {method: qemu, media: tmpfs, prompts: ['~ #']}
"""


def serve(folder: Path) -> str:
    """The files of the demonstration boards, and a repository; the checksum of the x86 kernel."""
    cache = cache_dir()
    for arch, kernel, initrd in (("x86_64", "vmlinuz", "initrd.img"), ("arm64", "Image", "initrd-arm64.img")):
        (folder / kernel).symlink_to(cache / f"debian-{arch}/vmlinuz")
        (folder / initrd).symlink_to(max((cache / f"debian-{arch}").glob("initrd-*.img")))
    repository = folder / "repo"
    repository.mkdir()
    (repository / "x.yaml").write_text(
        "metadata: {format: Lava-Test Test Definition 1.0, name: x}\nparams: {WORD: own}\nrun: {steps: ['sh ./x.sh']}\n"
    )
    (repository / "x.sh").write_text("lava-test-case word-$(cat word) --result pass\n")
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@x"]
    (repository / "x.yaml").write_text((repository / "x.yaml").read_text().replace("'sh", "'echo $WORD >word', 'sh"))
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    bare = folder / "x.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(bare)], check=True)
    shutil.rmtree(repository)
    told = subprocess.run(["sha256sum", str(folder / "vmlinuz")], check=True, capture_output=True, text=True)
    return told.stdout.split()[0]


def test_whole_jobs_on_two_workers(face: Face, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    checksum = serve(folder)
    with web_server(folder) as server:
        for name, text in (("all", JOB), ("boots", BOOTS)):
            filled = text.replace("URL", server.url("").rstrip("/")).replace("SUM", checksum)
            (face.path / f"{name}.yaml").write_text(filled.replace("REPO", str(folder / "x.git")))
        face.run("all.yaml", "boots.yaml", "-n2", passed=10, failed=10)
    found = {
        name: {case: result["result"] for case, result in run.items()}
        for name, run in face.results().items()
        if name != "lava"
    }
    monitor = found.pop("keys")
    assert (monitor.pop("asymmetric"), monitor.pop("missing")) == ("pass", "fail")
    assert set(monitor.values()) == {"fail"}  # not expected
    assert found == {
        "smoke": {"cpus": "pass", "memory": "pass", "bad": "fail"},
        "from-git": {"word-job": "pass"},
        "talk": {"machine": "pass", "bits": "pass", "nothing": "fail"},
        "behind": {"word-own": "pass"},
        "boot": {"boot": "pass"},
    }
    memory = face.results()["smoke"]["memory"]
    assert (250_000 < memory["measurement"] < 300 * 1024, memory["units"]) == (True, "kB")
    workers = {(line["nodeid"].partition("::")[0], line["worker"]) for line in face.journal("start")}
    assert len(workers) == 2  # each job on one


BOOTLOADER = """\
device_type: qemu-arm64
job_name: at the boot loader
timeouts: {job: {minutes: 3}}
actions:
- boot: {method: bootloader, bootloader: u-boot, commands: [], prompts: ['=>']}
- test:
    interactive:
    - name: talk
      prompts: ['=> ']
      echo: discard
      script:
      - {name: version, command: version, successes: [{message: 'U-Boot 20(?P<year>\\d\\d)'}]}
      - {name: year, command: 'echo year {year}', successes: [{message: 'year 2\\d'}]}
      - {command: setenv a b}
      - name: lab
        command: printenv a
        successes: [{message: a=c}]
        failures: [{message: a=b, exception: InfrastructureError, error: it is b}]
- test: {interactive: [{name: never, prompts: ['=> '], script: [{command: version}]}]}
"""


def test_a_script_at_the_boot_loader(face: Face) -> None:
    (face.path / "job.yaml").write_text(BOOTLOADER)
    face.run("job.yaml", passed=2, failed=1, skipped=1, errors=1)
    found = {name: {case: one["result"] for case, one in run.items()} for name, run in face.results().items()}
    assert found["talk"] == {"version": "pass", "year": "pass", "lab": "fail", "talk": "unknown"}
    assert found["never"] == {"never": "skip"}
    assert face.results()["talk"]["talk"]["attributes"]["error_type"] == "Infrastructure"


FIRMWARE = """\
device_type: qemu
job_name: firmware
timeouts: {job: {minutes: 3}}
context: {arch: arm64}
actions:
- deploy:
    to: tmpfs
    images:
      bios: {image_arg: '-bios {bios}', url: 'file:///usr/lib/u-boot/qemu_arm64/u-boot.bin'}
- boot: {method: monitor}
- test:
    monitors:
    - {name: fw, start: U-Boot, end: Hit any key, pattern: '(?P<test_case_id>DRAM|Flash): +(?P<measurement>\\d+)'}
"""
PC = """\
device_type: qemu
job_name: 32 bits
timeouts: {job: {minutes: 3}}
context: {arch: i386, machine: q35, cpu: coreduo, extra_options: [-no-reboot, -smp 2], no_kvm: true}
actions:
- deploy:
    to: tmpfs
    images:
      kernel: {image_arg: '-kernel {kernel} -append "console=ttyS0,115200 root=/dev/ram0"', url: 'file://KERNEL'}
      ramdisk: {image_arg: '-initrd {ramdisk}', url: 'file://INITRD'}
- boot: {method: qemu, prompts: ['/ #', '~ #']}
- test:
    definitions:
    - from: inline
      name: bits
      path: inline/bits.yaml
      repository:
        metadata: {format: Lava-Test Test Definition 1.0, name: bits}
        run: {steps: ['lava-test-case machine --shell "uname -m | grep -q i.86"']}
"""


def test_firmware_of_a_job(face: Face) -> None:
    (face.path / "fw.yaml").write_text(FIRMWARE)
    face.run("fw.yaml", passed=3)
    assert {name: one["measurement"] for name, one in face.results()["fw"].items()} == {"dram": 512, "flash": 64}


def test_a_32_bit_pc(face: Face) -> None:
    """Its kernel is fetched for the soak only (``pytest-lava fetch x86``)."""
    cache = cache_dir() / "debian-x86"
    filled = PC.replace("KERNEL", str(cache / "vmlinuz")).replace("INITRD", str(max(cache.glob("initrd-*.img"))))
    (face.path / "pc.yaml").write_text(filled)
    face.run("pc.yaml", passed=2)
    assert face.results()["bits"]["machine"]["result"] == "pass"
