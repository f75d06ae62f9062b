"""What a feeder needs of the rows that hold bulk work."""

from collections.abc import Sequence
from typing import Protocol

from groundswell.common.bus.messages import Outgoing
from groundswell.common.feeder.domain import Standing
from groundswell.common.postgres import Connection


class Rows(Protocol):
    """Lines of bulk work, each waiting, then accepted, then done. All methods run in a transaction of the feeder's.

    Whoever takes the outcomes moves a line from accepted to done, by compare-and-set, and may `wake` the feeder.
    """

    async def standings(self, connection: Connection, most: int) -> Sequence[Standing]:
        """Each tenant that has a line waiting or accepted, counted from the rows; up to `most` waiting lines of it."""
        ...

    async def accept(self, connection: Connection, line: str) -> Outgoing | None:
        """Move `line` from waiting to accepted, by compare-and-set; its command, or None if it does not wait any more.

        Raises Rejected if no command can be made of it.
        """
        ...

    async def refuse(self, connection: Connection, line: str, reason: str) -> None:
        """End a waiting line that can never be accepted. `reason` holds no text of it."""
        ...
