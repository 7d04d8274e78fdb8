"""Whole runs: kernels from packages, trees and servers on emulated boards, each what it claims to be."""

from __future__ import annotations

import base64
import json
import lzma
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.face import Face
from support.kernels import arm64_image, debian_deb, debian_modules, other_debian_deb, sha256
from support.webserver import WebServer, web_server

from pytest_lava.images.cache import cache_dir
from pytest_lava.images.deb import read_package, unpack
from pytest_lava.images.kernel import inspect

pytestmark = pytest.mark.emulated

#: what each test is to see of its kernel
TESTS = """
    def test_release(kernel, shell):
        assert shell.check("uname -r").stdout.strip() == kernel.file.release
    def test_build(kernel, shell):
        assert shell.check("uname -v").stdout.strip() == kernel.file.build
    def test_module(shell):
        shell.check("modprobe dummy")
        assert "dummy" in shell.check("lsmod").stdout
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "www") as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def releases(face: Face) -> dict[str, str]:
    """Target -> what the bundle says of the kernel that its test runs were on."""
    runs = json.loads((face.latest / "bundle.json").read_text())["test_runs"]
    return {
        run["attributes"]["target"]: run["attributes"]["kernel.release"] for run in runs if run["test_id"] != "lava"
    }


def test_two_debian_kernels_in_one_command(face: Face) -> None:
    """Each is deployed and booted once, with its own modules, and all tests run on each."""
    old, new = debian_deb(), other_debian_deb()
    face.write(test_it=TESTS)
    result = face.run("--board=qemu-arm64", f"--kernel={old}", f"--kernel={new}", "test_it.py", "--command=uname -r")
    result.assert_outcomes(passed=8)
    names = [read_package(deb).name.removeprefix("linux-image-") for deb in (old, new)]
    targets = [f"qemu-arm64-{name}" for name in names]
    assert face.deployments() == targets
    boots = {line["target"]: line["uname"]["release"] for line in face.journal("boot")}
    assert len(face.journal("boot")) == 2
    assert boots == dict(zip(targets, names, strict=True))
    assert releases(face) == boots
    said = {base64.b64decode(line["stdout_b64"]).decode().strip() for line in face.journal() if line.get("stdout_b64")}
    assert said == set(names)
    kernels = [line["kernel"] for line in face.journal("target")]
    assert [kernel["origin"]["package"].split()[0] for kernel in kernels] == [f"linux-image-{name}" for name in names]


def test_kernel_and_modules_from_a_server(face: Face, server: WebServer) -> None:
    """A packed kernel and a tarball of modules; then once more without the server, in two workers."""
    deb = debian_deb()
    ((name, image),) = unpack(deb, lambda path: path.startswith("boot/vmlinuz-"))
    release = name.removeprefix("boot/vmlinuz-")
    root = face.path / "modules"
    for module, content in debian_modules("dummy", "ip_tunnel").items():
        path = root / "lib" / "modules" / release / "kernel" / f"{module}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with tarfile.open(server.folder / "modules.tar.xz", "w:xz", preset=0) as tar:
        tar.add(root, ".")
    (server.folder / "Image.xz").write_bytes(lzma.compress(image, preset=0))
    own = face.path / "cache"
    options = (
        "--board=qemu-arm64", f"--lava-cache={own}",
        f"--kernel={server.url('Image.xz')}#sha256={sha256(server.folder / 'Image.xz')}",
        f"--modules={server.url('modules.tar.xz')}", "test_it.py",
    )  # fmt: skip
    face.write(
        test_it=TESTS
        + """
    def test_insmod(shell):
        path = shell.check("find /lib/modules/$(uname -r) -name ip_tunnel.ko").stdout.strip()
        shell.check(f"insmod {path}")
        assert "ip_tunnel" in shell.check("lsmod").stdout
"""
    )
    face.run(*options, passed=4)
    phases = [line["name"] for line in face.journal("phase")]
    assert phases.index("fetch") < phases.index("inject") < phases.index("wait") < phases.index("deploy")
    assert releases(face) == {"qemu-arm64": release}
    assert {path for path, _ in server.requests} == {"/Image.xz", "/modules.tar.xz"}
    assert {path.name for path in own.iterdir()} >= {"objects", "kernels", "initrd", "media", "urls"}
    server.shutdown()
    server.server_close()
    face.run(*options, "--offline", "-n2", passed=4)


def test_a_build_folder(face: Face) -> None:
    """Image and modules of a real kernel as make leaves them, and the commit of the source in the bundle."""
    ((name, image),) = unpack(debian_deb(), lambda path: path.startswith("boot/vmlinuz-"))
    release = name.removeprefix("boot/vmlinuz-")
    tree = face.path / "linux"
    for path, content in {
        "include/config/kernel.release": f"{release}\n".encode(),
        "include/config/auto.conf": b"CONFIG_ARM64=y\n",
        "arch/arm64/boot/Image": image,
        "drivers/net/dummy.ko": debian_modules("dummy", "ip_tunnel")["dummy"],
        "modules.order": b"drivers/net/dummy.o\n",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    for command in ("init -q", "-c user.name=me -c user.email=me@here commit -q --allow-empty -m one"):
        subprocess.run(["git", "-C", str(tree), *command.split()], check=True)
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    face.write(test_it=TESTS)
    face.run("--board=qemu-arm64", f"--kernel-tree={tree}", "test_it.py", passed=3)
    runs = json.loads((face.latest / "bundle.json").read_text())["test_runs"]
    (run,) = [run for run in runs if run["test_id"] == "test-it.py"]
    (source,) = run["software_context"]["sources"]
    assert (source["branch_vcs"], source["branch_revision"]) == ("git", head.stdout.strip())
    assert run["attributes"]["kernel.commit"] == head.stdout.strip()


def test_another_kernel_than_the_one_deployed(face: Face) -> None:
    """A boot loader that loads what it likes: no test passes on the wrong kernel."""
    folder = cache_dir() / "debian-arm64"
    file = inspect(folder / "vmlinuz", cache_dir())
    assert file.build
    data = (folder / "vmlinuz").read_bytes()
    lie = file.build.replace("SMP", "PMS").encode()
    banner = data.rindex(file.build.encode(), 0, data.rindex(b"Linux version") + 1024)
    changed = face.path / "Image"
    changed.write_bytes(data[:banner] + lie + data[banner + len(lie) :])
    assert inspect(changed, cache_dir()).build == lie.decode()
    face.write(test_it=TESTS)
    result = face.run("--board=qemu-arm64", f"--kernel={changed}", "test_it.py")
    result.assert_outcomes(failed=1, skipped=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*root cause*", "*booted another kernel than the one deployed: *"])


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "workers"])
def test_what_cannot_be_fetched_takes_no_board(face: Face, server: WebServer, workers: tuple[str, ...]) -> None:
    """One failing report for each kernel, with the right blame, and nothing is leased, deployed or left behind."""
    (server.folder / "Image").write_bytes(arm64_image())
    (server.folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    places = [f"{server.url('Image')}#sha256={'0' * 64}", server.url("logo.png"), server.url("nosuch.deb")]
    face.write(test_it=TESTS)
    result = face.run("--board=qemu-arm64", *(f"--kernel={place}" for place in places), "test_it.py", *workers)
    result.assert_outcomes(failed=3, skipped=9)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*root cause*", "*failed on qemu-arm64-*: *"])
    errors = [line["error"] for line in face.journal() if line.get("error") and line["outcome"] == "failed"]
    assert sorted(error["type"] for error in errors) == ["FetchFailed"] * 3
    assert {error["blame"] for error in errors} == {"job"}
    assert {line["name"] for line in face.journal("phase")} <= {"fetch"}
    assert face.journal("boot") == face.journal("target") == []
    skipped = {case["result"] for name, cases in face.results().items() if name != "lava" for case in cases.values()}
    assert skipped == {"skip"}


def test_a_server_that_fails_is_the_labs_fault(face: Face, server: WebServer) -> None:
    server.statuses = [503] * 5
    face.write(test_it=TESTS)
    result = face.run("--board=qemu-arm64", f"--kernel={server.url('Image')}", "test_it.py")
    result.assert_outcomes(errors=1, skipped=3)
    assert result.ret == 69


def test_a_cache_that_goes_with_the_run(face: Face, server: WebServer) -> None:
    (server.folder / "initrd").write_bytes(next(iter((cache_dir() / "debian-arm64").glob("initrd-*.img"))).read_bytes())
    face.write(test_it="def test_it(shell): shell.check('true')\n")
    face.run("--board=qemu-arm64", f"--initrd={server.url('initrd')}", "--no-cache", "test_it.py", passed=1)
    assert not (face.latest / "cache").exists()
    assert server.sent > 1_000_000


def test_a_limit_for_the_cache(face: Face, server: WebServer) -> None:
    own = face.path / "cache"
    (server.folder / "initrd").write_bytes(next(iter((cache_dir() / "debian-arm64").glob("initrd-*.img"))).read_bytes())
    face.write(test_it="def test_it(shell): shell.check('true')\n")
    face.pytester.makeini("[pytest]\nlava_cache_limit = 100K\n")
    arguments = ("--board=qemu-arm64", f"--initrd={server.url('initrd')}", f"--lava-cache={own}", "test_it.py")
    face.run(*arguments, passed=1)
    assert list((own / "objects").glob("[!.]*")) == list((own / "media").glob("[!.]*")) == []
