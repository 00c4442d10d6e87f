"""Metrics, selection and comparison of batches of images.

Credits: none.
"""
