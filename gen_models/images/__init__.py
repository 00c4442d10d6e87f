"""Images: sets of them, where they come from, and pictures of many.

Credits: none.
"""
