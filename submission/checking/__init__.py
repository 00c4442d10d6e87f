"""Checks of submissions that nobody trusts: their files, names, logs, code, papers and videos."""
