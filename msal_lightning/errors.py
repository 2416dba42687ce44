"""The one exception that a user may see."""


class UserError(Exception):
    """A mistake that the user can mend: shown as one sentence without a traceback, exit code 2.

    The sentence says what was expected, what was got and the remedy, and names the config key.

    Args:
        message: the sentence.
        told: another process of this run shows it.
    """

    def __init__(self, message: str, told: bool = False) -> None:
        # from a worker process it comes back wrapped into the traceback of that process
        super().__init__(message.rpartition("UserError: ")[2].strip() if message.startswith("Caught ") else message)
        self.told = told
