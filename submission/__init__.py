"""Submissions of the coursework: building, checking, the bonus table, the audit of logs, and tables for markers."""
