"""The command ``report``: runs side by side, with tests, and beside the paper's numbers."""
