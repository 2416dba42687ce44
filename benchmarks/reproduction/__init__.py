"""Behind docs/reproduction.md: the table of its runs, their state, the figures and the page."""
