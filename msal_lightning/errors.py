"""The exceptions that a user may see.

::

    UserError            a mistake that the user can mend, or a fault of the machine
    ├── ConfigError      an option, a configuration file or a command line
    ├── DataError        images, labels that came with them, and their files
    ├── RunError         a run directory, its records, or an output folder
    └── AnnotationError  labels that a person gives, and whoever asks for them

A Python caller catches one of them, or :class:`UserError` for all. Any other exception is a fault of this program.
"""


class UserError(Exception):
    """A mistake that the user can mend: one sentence without a traceback, exit code 2.

    The sentence says what was expected, what was found and the remedy, and names the config key.

    Args:
        message: the sentence.
        reported: another process of this run shows the sentence.
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
    """Labels that a person gave, or whoever asks for them, are wrong."""
