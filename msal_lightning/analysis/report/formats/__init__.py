"""A report in the form of a file, of the terminal, or of a run of Weights & Biases: one file a form."""
