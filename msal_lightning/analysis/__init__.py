"""What the records of runs say, beyond the numbers that stand in them."""
