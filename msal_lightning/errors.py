"""The exceptions that a user may see.

::

    UserError            a mistake that the user can fix, or a fault of the machine
    ├── ConfigError      an option, a configuration file or a command line
    ├── DataError        images, labels that came with them, and their files
    ├── RunError         a run directory, its records, or an output folder
    └── AnnotationError  annotations, oracles and their options

A Python caller can catch one of these classes, or :class:`UserError` for all. Any other exception is a bug in this
program.
"""


class UserError(Exception):
    """A mistake that the user can fix: one sentence without a traceback, exit code 2.

    The sentence says what was expected, what was found and the remedy, and names the config key.

    Args:
        message: the sentence.
        reported: another process of this run has already shown the sentence.
    """

    def __init__(self, message: str, reported: bool = False) -> None:
        if message.startswith("Caught "):  # a worker process wraps the sentence into its own traceback
            message = message.rpartition(f"{type(self).__name__}: ")[2].strip()
        super().__init__(message)
        self.reported = reported


class ConfigError(UserError):
    """An option, a configuration file or a command line is wrong."""


class DataError(UserError):
    """Images, their files, or the labels that came with them are wrong or missing."""


class RunError(UserError):
    """A run directory, one of its records, or an output folder cannot be used."""


class AnnotationError(UserError):
    """An annotation is wrong, or an oracle or one of its options cannot be used."""
