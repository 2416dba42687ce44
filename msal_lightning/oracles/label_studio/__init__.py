"""People label in Label Studio, a page in the browser for one or many annotators."""
