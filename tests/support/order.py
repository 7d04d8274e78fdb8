"""In which order workers get the files of tests: the long ones first, so that none of them is alone at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

__all__ = ["longest_first"]

#: files below tests/, the longest first; all others take less time, and come behind these as they stand
_LONG = (
    "e2e/bisect/test_bisect_run.py",
    "emulated/kernels/test_kernels_on_qemu.py",
    "emulated/console/test_ladder.py",
    "e2e/suites/test_definitions.py",
    "e2e/faults/test_faults_on_a_pty.py",
    "e2e/plugin/test_face_runs.py",
    "e2e/hygiene/test_orderly_ends.py",
    "e2e/plugin/test_beside_other_plugins.py",
    "e2e/hygiene/test_workers_end.py",
    "emulated/plugin/test_face_on_qemu.py",
    "emulated/images/test_demo_initramfs.py",
    "emulated/jobs/test_jobs_on_qemu.py",
    "emulated/snapshot/test_face_of_snapshots.py",
    "emulated/deploy/test_boot_variants.py",
    "emulated/agent/test_torture.py",
    "emulated/watch/test_panics_on_qemu.py",
    "emulated/agent/test_agent.py",
    "e2e/hygiene/test_sudden_ends.py",
    "e2e/plugin/test_face_faults.py",
    "e2e/panda/test_panda.py",
    "e2e/submit/test_submitting_runs.py",
    "emulated/suites/test_shipped_suites.py",
    "emulated/inject/test_inject_on_qemu.py",
    "emulated/packages/test_debian_board.py",
    "emulated/packages/test_package_proxy.py",
    "e2e/faults/test_kernel_bugs_on_qemu.py",
    "e2e/health/test_health_runs.py",
    "emulated/board/test_recovery_on_qemu.py",
    "emulated/board/test_inventory_on_qemu.py",
    "emulated/boot/test_boots_that_fail.py",
    "emulated/watch/test_face_of_the_watch.py",
    "emulated/stress/test_stress_on_qemu.py",
    "e2e/suites/test_definition_selection.py",
    "e2e/commands/test_commands_and_scripts.py",
    "e2e/hygiene/test_time_limits.py",
    "e2e/submit/test_submit_squad.py",
)


def longest_first(items: list[pytest.Item], name_of: Callable[[pytest.Item], str]) -> None:
    """Sort ``items``, whose node ids below tests/ are what ``name_of`` gives; those of a file keep their order."""
    place = {file: number for number, file in enumerate(_LONG)}
    items.sort(key=lambda item: place.get(name_of(item).partition("::")[0], len(place)))
