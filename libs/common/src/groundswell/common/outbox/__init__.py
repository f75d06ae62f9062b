"""Row and message in one transaction, and a COMMIT whose answer got lost.

`Outbox` writes a message beside the rows that it tells of; `settled` runs a transaction and finds out whether it
committed when the connection broke.
"""

from groundswell.common.outbox.commit import Undecided, settled
from groundswell.common.outbox.outbox import Outbox
from groundswell.common.outbox.rows import OutboxRow, outbox_table

__all__ = ["Outbox", "OutboxRow", "Undecided", "outbox_table", "settled"]
