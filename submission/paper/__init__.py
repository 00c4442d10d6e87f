"""The paper of a submission: LaTeX templates, what a run fills them with, and their compilation."""
