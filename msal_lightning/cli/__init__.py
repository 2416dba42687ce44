"""The command line: ``main.py`` knows all commands, one file a command does the work."""
