"""Algorithms, networks and their arithmetic.

Credits: none.
"""
