"""JSON jobs of 2011: what is read, and what is one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_lava.errors import ConfigurationError
from pytest_lava.jobs.job import Job
from pytest_lava.jobs.json_jobs import COMMANDS
from pytest_lava.jobs.load import load_job
from pytest_lava.jobs.runs import JobSuite, SourcedDefinition
from pytest_lava.suites.running import DefinitionSuite

SHELL = {"command": "lava_test_shell", "parameters": {"testdef_repos": [{"git-repo": "/x.git", "testdef": "a/b.yaml"}]}}


def read(folder: Path, *actions: dict[str, Any], **more: object) -> Job:
    file = folder / "job.json"
    whole = {"job_name": "old", "device_type": "kvm", "timeout": 600, "actions": list(actions), **more}
    file.write_text(json.dumps(whole, indent="\t").replace("http://", "http:\\/\\/"))
    job = load_job(file)
    assert job is not None
    return job


def test_a_whole_job(tmp_path: Path) -> None:
    url = "http://127.0.0.1/x"
    deploy = {"command": "deploy_linaro_kernel", "metadata": {"build": "7"}, "parameters": {
        "kernel": f"{url}/zImage", "ramdisk": f"{url}/initrd", "rootfs": f"{url}/root.img", "login_prompt": "login:",
        "username": "root"}}  # fmt: skip
    run = {"command": "lava_command_run", "parameters": {
        "commands": ["uname -a", "echo $1 'x'"], "fixupdict": ["OK:pass"], "iterations": 2, "timeout": 9}}  # fmt: skip
    submit = {
        "command": "submit_results",
        "parameters": {"server": "http://me:secret@127.0.0.1/RPC2/", "stream": "/s/"},
    }
    job = read(tmp_path, deploy, {"command": "boot_linaro_image"}, SHELL, run, submit)
    assert (job.name, job.device_type, job.limit) == ("old", "kvm", 600.0)
    assert job.attributes["job.build"] == "7"
    (stage,) = job.stages
    assert (stage.deployed.kernel, stage.deployed.initrd) == (f"{url}/zImage", f"{url}/initrd")
    assert stage.deployed.images == {"rootfs": f"{url}/root.img"}
    assert stage.booted.login.user == "root"
    assert [suite.name for suite in job.suites] == ["b", "lava-command", "lava-command-2"]
    first, second, _ = (one.suite for one in job.suites if isinstance(one, JobSuite))
    assert isinstance(first, SourcedDefinition)
    assert isinstance(second, DefinitionSuite)
    assert second.definition.steps[1:] == (
        "lava_run uname--a 'uname -a'", "lava_run echo-1-x 'echo $1 '\"'\"'x'\"'\"''",
    )  # fmt: skip
    assert second.definition.fixup["OK"] == "pass"
    (remark,) = job.remarks
    assert "secret" not in remark
    assert "http://127.0.0.1/RPC2/ /s/" in remark


@pytest.mark.parametrize("command", [name for name, why in COMMANDS.items() if why])
def test_what_is_gone_is_named(tmp_path: Path, command: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, {"command": command}, SHELL)
    line = (tmp_path / "job.json").read_text().splitlines().index(f'\t\t\t"command": "{command}"') + 1
    assert str(caught.value) == (
        f"{tmp_path}/job.json:{line}: the action {command!r} is not supported: {COMMANDS[command]}"
    )


def test_hardware_packs_groups_and_nothing(tmp_path: Path) -> None:
    for actions, more, said in (
        ([{"command": "deploy_linaro_image", "parameters": {"hwpack": "x", "rootfs": "y"}}], {}, "hardware pack"),
        ([SHELL], {"device_group": [{"count": 2}]}, "several boards"),
        ([{"command": "submit_results", "parameters": {"server": "x"}}], {}, "nothing of it runs"),
        ([{"command": "boot_linaro_image", "parameters": {"boot_cmds": ["boot"]}}, SHELL], {}, "into the board file"),
        ([{"command": "fly"}], {}, "'fly' is not known"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            read(tmp_path, *actions, **more)


def test_a_boot_alone_is_an_item(tmp_path: Path) -> None:
    """As health checks of those years were."""
    deploy = {"command": "deploy_linaro_image", "parameters": {"image": "http://127.0.0.1/a.img.gz"}}
    job = read(tmp_path, deploy, {"command": "boot_linaro_image"})
    assert [suite.name for suite in job.suites] == ["boot"]
    assert [suite.name for suite in read(tmp_path, deploy, {"command": "boot_linaro_image"}, SHELL).suites] != ["boot"]


def test_no_json(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{"job_name": "x",\n "actions": [}\n')
    with pytest.raises(ConfigurationError, match=r"job.json:2: this is no JSON"):
        load_job(file)
