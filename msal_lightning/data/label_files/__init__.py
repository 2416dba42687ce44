"""Files of labels: each module reads and writes one format."""
