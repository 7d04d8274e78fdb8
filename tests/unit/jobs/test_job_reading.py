"""LAVA v2 jobs: what is read of one, and where each mistake is."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.jobs.job import Job
from pytest_lava.jobs.load import load_job
from pytest_lava.jobs.monitor import MonitorSuite
from pytest_lava.jobs.runs import JobSuite, SourcedDefinition
from pytest_lava.jobs.talk import TalkSuite
from pytest_lava.suites.running import DefinitionSuite

HEAD = """\
device_type: qemu
job_name: a job
timeouts:
  job: {hours: 1, minutes: 30}
  action: {minutes: 4}
  actions: {lava-test-shell: {minutes: 7}}
priority: medium
visibility: public
"""
DEPLOY = """\
- deploy:
    timeout: {minutes: 5}
    to: tmpfs
    os: debian
    images:
      kernel:
        image_arg: -kernel {kernel} --append "console=ttyS0 root=/dev/sda rw"
        url: http://127.0.0.1/bzImage
        sha256sum: "%s"
      rootfs:
        image_arg: -drive format=raw,if=none,id=hd0,file={rootfs} -m 1024
        url: http://127.0.0.1/root.ext4.xz
        compression: xz
""" % ("ab" * 32)  # fmt: skip
BOOT = """\
- boot:
    method: qemu
    media: tmpfs
    failure_retry: 3
    timeout: {minutes: 2}
    prompts: ['root@(debian|box):', '/ #']
    auto_login: {login_prompt: 'login:', username: root, password_prompt: 'Password:', password: x,
                 login_commands: [su, 'ip a']}
"""
TEST = """\
- test:
    timeout: {minutes: 3, skip: true}
    definitions:
    - from: inline
      name: first
      path: inline/first.yaml
      lava-signal: kmsg
      repository:
        metadata: {format: Lava-Test Test Definition 1.0, name: other}
        run:
          steps: [lava-test-case a --result pass]
    - {from: git, repository: 'http://127.0.0.1/x.git', path: a/b.yaml, name: second, branch: main,
       parameters: {NUMBER: 1}, skip_install: [deps]}
"""


def read(folder: Path, actions: str, head: str = HEAD) -> Job:
    file = folder / "job.yaml"
    file.write_text(f"{head}actions:\n{actions}")
    job = load_job(file)
    assert job is not None
    return job


def mistakes(folder: Path, actions: str, head: str = HEAD) -> list[tuple[str, str]]:
    """The text of the line that each mistake names, and the mistake."""
    with pytest.raises(ConfigurationError) as caught:
        read(folder, actions, head)
    lines = (folder / "job.yaml").read_text().splitlines()
    found = []
    for text in str(caught.value).splitlines():
        _, line, said = text.split(":", 2)
        found.append((lines[int(line) - 1].strip(), said.strip()))
    return found


def suites(job: Job) -> list[object]:
    assert all(isinstance(one, JobSuite) for one in job.suites)
    return [one.suite for one in job.suites if isinstance(one, JobSuite)]


def test_a_whole_job(tmp_path: Path) -> None:
    context = "context: {arch: amd64, memory: 256, extra_options: [-smp, 2, '-device virtio-blk-pci,drive=hd0']}\n"
    more = "metadata: {source: here, list: [1]}\nenvironment: {COLOUR: red}\nsecrets: {token: hidden}\n"
    job = read(tmp_path, DEPLOY + BOOT + TEST, HEAD + context + more)
    assert (job.name, job.device_type, job.arch, job.limit) == ("a job", "qemu", "x86_64", 5400.0)
    assert job.attributes == {"job_name": "a job", "job_device_type": "qemu", "job.source": "here"}
    assert "hidden" not in repr(job)
    assert len(job.remarks) == 1
    (stage,) = job.stages
    deployed, booted = stage.deployed, stage.booted
    assert deployed.kernel == f"http://127.0.0.1/bzImage#sha256={'ab' * 32}"
    assert deployed.images == {"rootfs": "http://127.0.0.1/root.ext4.xz"}
    assert deployed.append == "console=ttyS0 root=/dev/sda rw"
    assert (deployed.qemu.memory, deployed.qemu.smp, dict(deployed.qemu.drives)) == (
        "1024", 2, {"rootfs": "virtio-blk-pci"},
    )  # fmt: skip
    assert (deployed.limit, booted.limit, booted.tries, booted.direct) == (300.0, 120.0, 3, True)
    assert booted.login.prompts == ("root@(debian|box):", "/ #")
    assert (booted.login.user, booted.login.commands) == ("root", ("ip a",))
    first, second = suites(job)
    assert isinstance(first, DefinitionSuite)
    assert (first.name, first.definition.steps) == ("first", ("lava-test-case a --result pass",))
    assert "lava-test-case a" in (first.definition.text or "")
    assert isinstance(second, SourcedDefinition)
    assert (second.wanted.path, second.wanted.branch) == ("a/b.yaml", "main")
    assert [one.place.block.limit for one in job.suites if isinstance(one, JobSuite)] == [180.0, 180.0]
    assert all(one.place.block.goes_on for one in job.suites if isinstance(one, JobSuite))


def test_stages_repetitions_and_names(tmp_path: Path) -> None:
    again = TEST.replace("skip: true}", "skip: true}\n    repeat: 2")
    job = read(tmp_path, DEPLOY + BOOT + again + BOOT + TEST + DEPLOY + BOOT + TEST)
    assert [suite.name for suite in job.suites] == [
        "first", "second", "first-2", "second-2", "first-3", "second-3", "first-4", "second-4",
    ]  # fmt: skip
    assert [len(stage.suites) for stage in job.stages] == [4, 2, 2]
    assert job.stages[1].deployed == job.stages[0].deployed


def test_a_boot_without_prompts_has_those_of_the_one_before(tmp_path: Path) -> None:
    again = "- boot: {method: qemu, media: tmpfs, timeouts: {login-action: {minutes: 2}}}\n"
    first, second = read(tmp_path, DEPLOY + BOOT + TEST + again + TEST).stages
    assert (second.booted.goal, second.booted.login) == ("shell", first.booted.login)
    stages = read(
        tmp_path, DEPLOY + again + "- boot: {method: monitor}\n" + BOOT + "- boot: {method: monitor}\n"
    ).stages
    assert [stage.booted.goal for stage in stages] == ["kernel", "kernel", "shell", "kernel"]


MONITORS = """\
- boot: {method: monitor}
- test:
    monitors:
    - {name: kunit, start: begin, end: end, pattern: '(?P<result>ok) (?P<test_case_id>\\w+)', fixupdict: {ok: pass}}
"""
TALKS = """\
- boot: {method: bootloader, bootloader: u-boot, commands: [], prompts: ['=>']}
- test:
    interactive:
    - name: net
      prompts: ['=> ']
      echo: discard
      script:
      - {name: dhcp, command: dhcp, successes: [{message: bound}], failures: [{message: TIMEOUT, exception: JobError}]}
      - {command: null}
      - {delay: 3}
"""


def test_monitors_and_scripts(tmp_path: Path) -> None:
    job = read(tmp_path, DEPLOY + MONITORS + TALKS)
    assert [stage.booted.goal for stage in job.stages] == ["kernel", "bootloader"]
    monitor, talk = suites(job)
    assert isinstance(monitor, MonitorSuite)
    assert monitor.monitor.fixup == {"ok": "pass"}
    assert isinstance(talk, TalkSuite)
    assert talk.talk.bootloader
    assert talk.talk.discard_echo
    dhcp, nothing, pause = talk.talk.lines
    assert (dhcp.successes, dhcp.failures[0].exception, nothing.command, pause.delay) == (
        ("bound",), "JobError", None, 3.0,
    )  # fmt: skip


def test_downloads_are_named_later(tmp_path: Path) -> None:
    earlier = "- deploy: {to: downloads, images: {root: {url: 'http://127.0.0.1/root.img'}}}\n"
    later = DEPLOY.replace("http://127.0.0.1/root.ext4.xz", "downloads://root.img")
    assert read(tmp_path, earlier + later + BOOT + TEST).stages[0].deployed.images == {
        "rootfs": "http://127.0.0.1/root.img"
    }
    said = mistakes(tmp_path, later + BOOT + TEST)
    assert said == [("url: downloads://root.img", "no action before has downloaded 'root.img'")]


def test_overlays_and_tftp(tmp_path: Path) -> None:
    actions = dedent("""\
        - deploy:
            to: tftp
            kernel: {url: 'http://127.0.0.1/zImage', type: zimage}
            ramdisk:
              url: http://127.0.0.1/initrd.gz
              compression: gz
              format: cpio.newc
              overlays:
                modules: {url: 'http://127.0.0.1/modules.tar.xz', compression: xz, format: tar, path: /}
                config: {url: 'http://127.0.0.1/a.conf', format: file, path: /etc/a.conf}
            dtb: {url: 'http://127.0.0.1/board.dtb'}
            modules: {url: 'http://127.0.0.1/modules.tar', compression: gz}
        - boot: {method: u-boot, commands: ramdisk, prompts: ['#']}
        """)
    (stage,) = read(tmp_path, actions + TEST, HEAD.replace("qemu", "panda")).stages
    assert stage.deployed.modules == "http://127.0.0.1/modules.tar"
    assert not stage.booted.direct
    assert stage.deployed.overlays == (
        ("--overlay", "http://127.0.0.1/modules.tar.xz:/"), ("--file", "http://127.0.0.1/a.conf:/etc/a.conf"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("priority: medium", "priorty: medium", "priorty: medium", "did you mean 'priority'?"),
        ("priority: medium", "protocols: {lava-multinode: {roles: {}}}", "protocols:", "write one job for each"),
        ("{hours: 1, minutes: 30}", "{weeks: 1}", "job: {weeks: 1}", "'weeks' is no unit of time"),
        ("to: tmpfs", "to: fastboot", "to: fastboot", "'fastboot' is not supported"),
        ("to: tmpfs", "to: temp", "to: temp", "'temp' is not known: it is one of tmpfs"),
        ("compression: xz", "header: u-boot", "header: u-boot", "give it without one"),
        ("abab", "xyz", "sha256sum:", "is no sha256 checksum"),
        ("-m 1024", "-pflash {rootfs}", "image_arg: -drive", "'image_arg' of 'rootfs' is not supported: -pflash"),
        ("method: qemu", "method: grub-efi", "method: grub-efi", "'grub-efi' is not supported"),
        ("'/ #'", "'(['", "prompts:", "is no regular expression"),
        ("media: tmpfs", "commands: [reset]", "commands: [reset]", "write them into the board file"),
        ("username: root", "username: me", "login_commands:", "'su' starts another shell"),
        ("    definitions:", "    docker: {image: x}\n    definitions:", "docker:", "in a container"),
        ("from: git", "from: bzr", "- {from: git", "put it into a git repository"),
        ("path: a/b.yaml", "path: ../b.yaml", "- {from: git", "leads out of the repository"),
        ("NUMBER", "1ST", "parameters:", "no name of a shell variable"),
        ("name: first", "name: 'a b'", "name: 'a b'", "choose another"),
        ("steps: [lava", "steps_: [lava", "run:", "nothing to run"),
        ("    timeout: {minutes: 3", "    role: [x]\n    timeout: {minutes: 3", "role: [x]", "a job has one board"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line(tmp_path: Path, old: str, new: str, line: str, said: str) -> None:
    text = HEAD + "actions:\n" + DEPLOY + BOOT + TEST
    assert old in text
    head, _, actions = text.replace(old, new).partition("actions:\n- deploy")
    (found,) = mistakes(tmp_path, f"- deploy{actions}", head)
    assert found[0].startswith(line.replace("from: git", "from: bzr" if new == "from: bzr" else "from: git"))
    assert said in found[1]


def test_the_method_is_told_and_not_what_belongs_to_it(tmp_path: Path) -> None:
    """Keys of a method that is not supported, and what would have come of it, say nothing more."""
    place = DEPLOY.replace("to: tmpfs", "to: fvp\n    options: {a: b}\n    docker: {image: x}")
    boot = BOOT.replace("method: qemu", "method: fvp\n    docker: {image: x}\n    arguments: [-C x]")
    assert [line for line, _ in mistakes(tmp_path, place + boot + TEST)] == ["to: fvp", "method: fvp"]
    download = (
        "- deploy: {to: downloads, postprocess: {docker: {image: x}}, images: {a: {url: 'http://127.0.0.1/a.gz'}}}\n"
    )
    later = "- deploy: {to: flasher, images: {b: {url: 'downloads://b.img'}}}\n"
    ((line, said),) = mistakes(tmp_path, download + later + BOOT + TEST)
    assert line == download.strip()
    assert "name the one that comes of it" in said
    ((_, said),) = mistakes(tmp_path, TEST.replace("- test:", "- test:\n    docker: {image: x}") + BOOT)
    assert "in a container" in said


def test_qemu_of_a_container_is_the_one_of_this_machine(tmp_path: Path) -> None:
    boot = BOOT.replace("method: qemu", "method: qemu\n    docker: {image: x, binary: /bin/qemu-system-x86_64}")
    job = read(tmp_path, DEPLOY + boot + TEST)
    assert job.stages[0].booted.direct
    assert job.remarks == ("job.yaml: the QEMU of this machine is started, not that of the job's container",)


def test_an_image_that_no_argument_names_is_not_given_to_qemu(tmp_path: Path) -> None:
    """As in LAVA: TF-A's jobs download a ``bios`` so, and it is no disk."""
    more = DEPLOY + "      bios: {url: 'http://127.0.0.1/bios.bin'}\n"
    assert list(read(tmp_path, more + BOOT + TEST).stages[0].deployed.images) == ["rootfs"]


def test_actions_that_do_not_fit_each_other(tmp_path: Path) -> None:
    assert mistakes(tmp_path, DEPLOY + TEST)[0][1] == "there is no 'boot' before this 'test'"
    assert mistakes(tmp_path, DEPLOY)[0][1].startswith("nothing of it runs on a board")
    assert "only 'monitors' can follow" in mistakes(tmp_path, "- boot: {method: monitor}\n" + TEST)[0][1]
    command = mistakes(tmp_path, "- command: {name: x}\n" + BOOT + TEST)
    assert command == [
        ("- command: {name: x}", "an action is one of deploy, boot, test: 'command' runs programs of a LAVA server")
    ]
    other = TEST.replace("- test:", "- test:\n    namespace: b")
    assert (
        "a second namespace" in mistakes(tmp_path, BOOT.replace("- boot:", "- boot:\n    namespace: a") + other)[0][1]
    )


def test_a_boot_alone_is_an_item(tmp_path: Path) -> None:
    job = read(tmp_path, DEPLOY + BOOT + BOOT + TEST)
    assert [[suite.name for suite in stage.suites] for stage in job.stages] == [["boot"], ["first", "second"]]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = DEPLOY.replace("tmpfs", "temp") + BOOT.replace("qemu", "none") + TEST.replace("from: git", "from: tar")
    assert [line for line, _ in mistakes(tmp_path, wrong)] == [
        "to: temp",
        "method: none",
        "- {from: tar, repository: 'http://127.0.0.1/x.git', path: a/b.yaml, name: second, branch: main,",
    ]
