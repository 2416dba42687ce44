"""The paper's names, numbers and experiments as plain data."""
