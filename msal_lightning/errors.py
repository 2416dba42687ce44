"""The one exception that a user may see."""


class UserError(Exception):
    """A mistake that the user can mend: shown as one sentence without a traceback, exit code 2.

    The sentence says what was expected, what was got and the remedy, and names the config key.
    """
