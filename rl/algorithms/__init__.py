"""Algorithms, feature extractors, losses and the networks' precision."""
