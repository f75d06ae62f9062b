"""The watermark of a partition never passes an open record, whatever the order in which work ends."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from groundswell.common.bus.offsets import OffsetLedger


class LedgerMachine(RuleBasedStateMachine):
    """Takes offsets with gaps (compaction leaves them), completes them in any order, commits at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = OffsetLedger()
        self.taken: list[int] = []
        self.open: set[int] = set()
        self.committed: int | None = None

    @rule(gap=st.integers(0, 3), first=st.integers(0, 50))
    def take(self, gap: int, first: int) -> None:
        offset = self.taken[-1] + 1 + gap if self.taken else first
        self.ledger.take(offset)
        self.taken.append(offset)
        self.open.add(offset)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        self.ledger.complete(offset)
        self.open.discard(offset)

    @rule()
    def commit(self) -> None:
        offset = self.ledger.committable()
        if offset is not None:
            self.ledger.committed(offset)
            self.committed = offset

    @invariant()
    def never_passes_an_open_record(self) -> None:
        offset = self.ledger.committable()
        if offset is not None and self.open:
            assert offset <= min(self.open)

    @invariant()
    def never_goes_back(self) -> None:
        offset = self.ledger.committable()
        if offset is not None and self.committed is not None:
            assert offset > self.committed

    @invariant()
    def everything_complete_is_committable_or_committed(self) -> None:
        if self.taken and not self.open:
            assert (self.ledger.committable() or self.committed) == self.taken[-1] + 1

    @invariant()
    def counts_what_is_open(self) -> None:
        assert len(self.ledger) == len(self.open)
        assert self.ledger.position == (self.taken[-1] + 1 if self.taken else None)


TestLedger = LedgerMachine.TestCase


def test_a_new_ledger_has_nothing_to_commit() -> None:
    assert OffsetLedger().committable() is None


def test_a_record_taken_and_not_complete_is_nothing_to_commit() -> None:
    ledger = OffsetLedger()
    ledger.take(7)
    assert ledger.committable() is None


def test_the_next_offset_to_read_is_committed() -> None:
    ledger = OffsetLedger()
    ledger.take(7)
    ledger.complete(7)
    assert ledger.committable() == 8


def test_a_late_record_holds_back_those_after_it() -> None:
    ledger = OffsetLedger()
    for offset in (7, 8, 9):
        ledger.take(offset)
    ledger.complete(9)
    ledger.complete(8)
    assert ledger.committable() is None
    ledger.complete(7)
    assert ledger.committable() == 10


def test_completing_twice_is_completing_once() -> None:
    ledger = OffsetLedger()
    ledger.take(7)
    ledger.complete(7)
    ledger.complete(7)
    assert (ledger.committable(), len(ledger)) == (8, 0)
