"""Files, tables and the terminal."""
