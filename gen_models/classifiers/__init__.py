"""Classifiers that are trained here.

Credits: none.
"""
