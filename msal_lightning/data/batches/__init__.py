"""From images to batches: their sizes and order, the processes that load them, and what stays in memory."""
