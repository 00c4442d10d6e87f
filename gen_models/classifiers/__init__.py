"""Classifiers that are trained here."""
