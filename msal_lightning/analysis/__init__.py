"""Statistics, reports and figures from the records of runs."""
