"""The project's own test options; what tests share is in ``tests/conftest.py``."""

pytest_plugins = ["pytester"]
