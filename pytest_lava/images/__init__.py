"""Kernels and images: inspect, build, fetch, cache."""
