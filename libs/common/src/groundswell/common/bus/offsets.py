"""Which offset of a partition may be committed when work completes out of order."""


class OffsetLedger:
    """The contiguous watermark of one partition for one assignment. Pure bookkeeping, no Kafka."""

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._next: int | None = None
        self._committed: int | None = None

    def __len__(self) -> int:
        """How many records are taken and not complete."""
        return len(self._open)

    @property
    def position(self) -> int | None:
        """The offset after the last record taken."""
        return self._next

    def take(self, offset: int) -> None:
        if self._next is None:
            self._committed = offset
        self._open.add(offset)
        self._next = max(offset + 1, self._next or 0)

    def complete(self, offset: int) -> None:
        self._open.discard(offset)

    def committable(self) -> int | None:
        """The offset to commit (that of the next record to read), or None if nothing new is complete."""
        watermark = min(self._open) if self._open else self._next
        return watermark if watermark != self._committed else None

    def committed(self, offset: int) -> None:
        self._committed = offset
