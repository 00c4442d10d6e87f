"""The commands of run_pegasus.py: their settings, calls, and what is printed.

Credits: none.
"""
