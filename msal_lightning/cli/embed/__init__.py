"""The command ``embed``, and the same work divided among processes."""
