"""Modules that all parts of the toolkit use: errors, the command line, files, run folders."""
