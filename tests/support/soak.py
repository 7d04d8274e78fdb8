"""What only ``make soak`` runs: variants whose kind ``make test`` has in another one, so that it keeps its time."""

from __future__ import annotations

import os

__all__ = ["SOAK", "VARIANTS"]

SOAK = bool(os.environ.get("LAVA_SOAK"))

#: beginnings of node ids below tests/
VARIANTS = (
    "contract/sinks/test_kcidb_faults.py::test_every_fault_alone",
    "contract/sinks/test_squad_contract.py::test_many_tests[ours]",
    "e2e/bisect/test_bisect_run.py::test_a_build_that_makes_no_new_kernel_is_told",
    "e2e/bisect/test_bisect_run.py::test_each_kind_of_commit",
    "e2e/hygiene/test_orderly_ends.py::test_in_the_middle_of_a_test[TERM]",
    "e2e/hygiene/test_workers_end.py::test_controller_is_told_to_end[SIGINT to all]",
    "e2e/hygiene/test_workers_end.py::test_worker_is_killed[15]",
    "e2e/panda/test_panda.py::test_boots_tests_and_goes_off[tcp]",
    "e2e/plugin/test_beside_other_plugins.py::test_beside_plugins_that_clash_elsewhere",
    "e2e/submit/test_submit_squad.py::test_a_server_in_trouble_neither_delays_nor_fails_a_run",
    "e2e/submit/test_submitting_runs.py::test_a_secret_is_nowhere[500-waiting]",
    "e2e/submit/test_submitting_runs.py::test_an_interrupted_run_is_submitted[15]",
    "emulated/agent/test_agent.py::test_noise_without_end_is_an_error",
    "emulated/agent/test_agent.py::test_shell_that_is_killed_and_started_again[kill -9 $$-bash]",
    "emulated/agent/test_agent.py::test_shell_that_is_killed_and_started_again[kill -9 $$-dash]",
    "emulated/agent/test_agent.py::test_shell_that_is_killed_and_started_again[kill -9 $$-mksh]",
    "emulated/agent/test_agent.py::test_shell_that_is_killed_costs_no_time_limit[bash]",
    "emulated/agent/test_agent.py::test_shell_that_is_killed_costs_no_time_limit[mksh]",
    "emulated/console/test_ladder.py::test_break_over_any_kind_of_line[telnet]",
    "emulated/console/test_ladder.py::test_kernel_tells_why_the_shell_does_not_come_back[qemu-x86_64]",
    "emulated/console/test_ladder.py::test_kernel_that_dies_while_it_is_asked_has_crashed[qemu-arm64]",
    "emulated/console/test_ladder.py::test_kernel_that_may_not_tell",
    "emulated/console/test_ladder.py::test_whole_machine_that_stops_is_dead_and_heals_when_it_goes_on[qemu-x86_64]",
    "emulated/deploy/test_drives.py::test_what_is_written_may_stay_until_the_next_deployment",
    "emulated/images/test_demo_initramfs.py::test_a_login[x86_64]",
    "emulated/images/test_demo_initramfs.py::test_a_panic[x86_64]",
    "emulated/images/test_demo_initramfs.py::test_a_shell_that_stays[x86_64]",
    "emulated/images/test_demo_initramfs.py::test_silence[arm64]",
    "emulated/inject/test_inject_on_qemu.py::test_in_the_initramfs[qemu-x86_64]",
    "emulated/jobs/test_jobs_on_qemu.py::test_a_32_bit_pc",
    "emulated/packages/test_debian_board.py::test_a_package_a_file_and_modules[arm64]",
    "emulated/plugin/test_face_on_qemu.py::test_a_kernel_that_does_not_boot_is_one_failure[workers]",
    "emulated/plugin/test_face_on_qemu.py::test_two_boards_and_two_kernels_each_deployed_once",
    "emulated/snapshot/test_face_of_snapshots.py::test_a_run_that_must_boot[CI]",
    "emulated/snapshot/test_faults.py::test_damage[lose]",
    "emulated/snapshot/test_faults.py::test_damage[scribble]",
    "emulated/snapshot/test_faults.py::test_two_at_once",
    "emulated/snapshot/test_resume.py::test_random_numbers_of_a_kernel_that_has_none_yet",
    "emulated/suites/test_shipped_suites.py::test_all_that_ships_is_green[qemu-x86_64]",
    "emulated/transfer/test_memory.py::test_a_large_file_takes_little_memory[serial]",
    "emulated/transfer/test_transfer_on_qemu.py::test_crash_in_the_middle[put]",
    "emulated/transfer/test_transfer_on_qemu.py::test_the_network_of_a_shipped_board[qemu-x86_64]",
    "emulated/watch/test_face_of_pstore.py::test_a_crash_in_the_last_test_is_told_too[ramoops]",
    "emulated/watch/test_face_of_the_watch.py::test_panic_while_the_test_computes[teardown]",
    "emulated/watch/test_panics_on_qemu.py::test_panic_in_a_framed_command[background-marker]",
    "emulated/watch/test_panics_on_qemu.py::test_panic_under_an_interactive_program[marker]",
    "emulated/watch/test_panics_on_qemu.py::test_panic_while_output_is_live[background]",
    "emulated/watch/test_panics_on_qemu.py::test_panic_while_output_is_sent[marker]",
)
