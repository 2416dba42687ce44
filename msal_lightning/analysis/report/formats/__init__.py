"""The formats of a report, one module each: files, the terminal, and a run of Weights & Biases."""
