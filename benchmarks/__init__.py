"""The project against its peers and against the floor: ``python -m benchmarks --help``."""
