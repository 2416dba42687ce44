"""The verdict of docs/verdict.md: its feature sets, the table of all runs, and the figures and tables made from it."""
