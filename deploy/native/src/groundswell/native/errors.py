"""What stops the stack, each with one line that says what to do."""


class StackError(Exception):
    """Something the person at the terminal has to know or to change; the message says what."""


class ProvisionError(StackError):
    """A component could not be fetched, built or verified."""


class NotReadyError(StackError):
    """The stack runs, but did not become ready in time; the message names what is missing and its log."""


class NotRunningError(StackError):
    """The command needs a running stack."""
