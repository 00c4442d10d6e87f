"""Benchmarks against what users would pick instead, each run in alternation with its peer."""
