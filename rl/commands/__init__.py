"""Commands of ``run_gravitar.py``: settings, calls, what is printed; nothing that another module needs."""
