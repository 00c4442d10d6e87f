"""Environments.

Credits: none.
"""
