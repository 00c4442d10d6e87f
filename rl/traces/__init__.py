"""Recorded episodes played again: videos and verification.

Credits: none.
"""
