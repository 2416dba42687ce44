"""Estimates and tests from the numbers of runs."""
