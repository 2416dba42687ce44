"""People label in CSV files, with a contact sheet to look at."""
