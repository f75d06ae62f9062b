"""A worker is lost when it fell silent while it could have been heard."""

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.ids import WorkerId
from groundswell.orchestrator.domain.liveness import WorkerSigns

ONE, TWO = WorkerId("one"), WorkerId("two")


def listening(now: float = 0.0) -> WorkerSigns:
    signs = WorkerSigns(lost_after_s=5.0)
    signs.listen(now, can_hear=True)
    return signs


def test_who_speaks_is_not_lost_and_who_fell_silent_is_once() -> None:
    signs = listening()
    signs.hear(ONE, 0.0)
    signs.hear(TWO, 0.0)
    signs.hear(TWO, 4.0)
    assert signs.take_lost(4.9) == []
    assert signs.take_lost(5.0) == [ONE]
    assert signs.take_lost(5.1) == []
    signs.hear(ONE, 6.0)
    assert set(signs.take_lost(11.0)) == {ONE, TWO}


def test_nobody_is_lost_while_kafka_is_away_or_only_just_back() -> None:
    signs = listening()
    signs.hear(ONE, 0.0)
    signs.listen(1.0, can_hear=False)
    assert signs.take_lost(100.0) == []
    signs.listen(100.0, can_hear=True)
    assert signs.take_lost(104.9) == []
    assert signs.take_lost(105.0) == [ONE]


@given(st.lists(st.floats(0.0, 4.9), max_size=30))
def test_a_worker_that_speaks_often_enough_is_never_lost(pauses: list[float]) -> None:
    signs, now = listening(), 0.0
    signs.hear(ONE, now)
    for pause in pauses:
        now += pause
        assert signs.take_lost(now) == []
        signs.hear(ONE, now)
