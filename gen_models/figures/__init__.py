"""Figures of a run, for a paper.

Credits: none.
"""
