"""``sweep``: many fits as one command."""
