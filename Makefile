# Two commands set everything up on a fresh machine: `make demo` shows it at work, `make test` proves it.

PYTHON ?= python3
# Debian packages to use where there is no apt: linux-image-....deb and busybox-static_....deb for arm64
KERNEL_DEB ?=
BUSYBOX_DEB ?=

.PHONY: help demo test boards squad soak check clean

help:
	@echo 'make demo   boot a Debian kernel on an emulated arm64 board, test it, and say where the results are'
	@echo 'make check  ruff and mypy'
	@echo 'make test   the whole test suite'
	@echo 'make soak   the same with full counts (long)'
	@echo 'make clean  remove what was built here (the download cache stays)'

demo: .venv/.stamp-demo
	@scripts/setup-host demo
	@.venv/bin/pytest-lava fetch arm64 \
		$(if $(KERNEL_DEB),--kernel-deb '$(KERNEL_DEB)') $(if $(BUSYBOX_DEB),--busybox-deb '$(BUSYBOX_DEB)')
	@scripts/demo

# More workers than the two processors that are enough: tests wait for processes and boards, those of the units most.
test: .venv/.stamp-test
	@scripts/setup-host test
	@$(MAKE) --no-print-directory -j 3 boards squad check
	@echo 'running the unit and contract tests ...'
	@scripts/run-tests -n 4 tests/unit tests/contract
	@echo 'running the tests on emulated boards and of whole runs ...'
	@scripts/run-tests -n 3 --dist loadfile --no-loadscope-reorder --durations=10 tests/emulated tests/e2e

# What tests need beside Python: kernels and images for emulated boards, and a result server.
boards: .venv/.stamp-test
	@.venv/bin/pytest-lava fetch arm arm64 x86_64 debian-x86_64 $(if $(LAVA_SOAK),x86 debian-arm64)

squad: .venv/.stamp-test
	@scripts/setup-squad

soak: export LAVA_SOAK = 1
soak: test

check: .venv/.stamp-test
	@echo 'checking style and types ...'
	@.venv/bin/ruff format --check -q .
	@.venv/bin/ruff check -q .
	@.venv/bin/mypy

# What the tests need includes what the demonstration needs, so either stamp will do for the latter.
.venv/.stamp-demo: pyproject.toml
	@if [ .venv/.stamp-test -nt pyproject.toml ]; then touch $@; else PYTHON='$(PYTHON)' scripts/setup-venv demo; fi

.venv/.stamp-test: pyproject.toml
	@PYTHON='$(PYTHON)' scripts/setup-venv test

clean:
	rm -rf .venv .squad-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist lava-runs
