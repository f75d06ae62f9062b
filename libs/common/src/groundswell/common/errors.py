"""What can go wrong, as the bus understands it.

    GroundswellError
    ├── Rejected        this message will never work: dead letter at once
    ├── Overloaded      not now: the source pauses and tries the same message again
    │   └── Unavailable a component (Kafka, Weaviate, PostgreSQL) is away
    └── Misconfigured   a setting is wrong: the process does not start

Anything else that a handler raises is a bug: bounded retries, then a dead letter.
"""


class GroundswellError(Exception):
    """Root of the errors that Groundswell raises itself."""


class Rejected(GroundswellError):
    """The message is wrong in itself.

    `reason` goes to the dead letter and to the requester: no text of documents in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Overloaded(GroundswellError):
    """No room at present. The source pauses for `retry_after_s` seconds; the message costs no attempt."""

    def __init__(self, reason: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Unavailable(Overloaded):
    """A component is away; `reason` names it."""


class Misconfigured(GroundswellError):
    """A setting is missing or wrong. The message names the variable and what to do."""
