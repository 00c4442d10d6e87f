"""Figures of a run, for a paper."""
