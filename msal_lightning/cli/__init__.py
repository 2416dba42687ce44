"""The command line: ``main.py`` lists the commands, and each command has its own file."""
