"""The report: runs side by side and beside the paper's numbers, with tests."""
