"""Read configurations and command lines, and explain mistakes in them."""
