"""The page in the browser.

Credits: none.
"""
