"""What ends a command early: one line that says what to do."""


class CommandFailedError(Exception):
    """The message is shown after `error: ` on standard error; the exit status is 1."""


class RefusedError(CommandFailedError):
    """The server did not take what was sent; something else may be taken."""
