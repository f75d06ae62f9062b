"""An attempt goes where there is room, as far as anybody knows."""

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.generation import ChatMessage, GenerateAnswer, RunningAttempt, WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.placement import FRESH_S, Placement

SLOTS = 4


def request(number: int) -> RequestId:
    return RequestId(f"req_{number:024x}")


def report(worker: int, *running: int, waiting: int = 0, **more: object) -> WorkerProgressed:
    told: dict[str, object] = {
        "worker": WorkerId(f"worker-{worker}"),
        "models": ("null",),
        "slots": SLOTS,
        "running": tuple(
            RunningAttempt(request_id=request(number), attempt=1, completion_tokens=0) for number in running
        ),
        "waiting": waiting,
        "partitions": dict.fromkeys(Tier, (worker,)),
    }
    return WorkerProgressed.model_validate(told | more)


def command(number: int, losses: int = 0) -> GenerateAnswer:
    asked = (ChatMessage(role="user", content="Why?"),)
    return GenerateAnswer(request_id=request(number), model="null", messages=asked, max_tokens=9, losses=losses)


def placed(placement: Placement, number: int, now: float = 0.0, tier: Tier = Tier.STANDARD) -> int | None:
    return placement.place(command(number), tier, now)


@given(st.lists(st.integers(0, SLOTS), min_size=1, max_size=4), st.data())
def test_nothing_is_given_to_a_full_worker_while_another_has_room(busy: list[int], data: st.DataObject) -> None:
    placement, running = Placement(), dict[int, set[int]]()
    for worker, count in enumerate(busy):
        running[worker] = {100 * worker + number for number in range(count)}
        placement.hear(report(worker, *running[worker]), 0.0)
    for number in range(1000, 1020):
        if all(len(held) >= SLOTS for held in running.values()):
            break
        chosen = placed(placement, number)
        assert chosen is not None
        assert len(running[chosen]) < SLOTS
        running[chosen].add(number)
        if data.draw(st.booleans()):  # a report that knows of it, or of something that ended
            speaker = data.draw(st.sampled_from(sorted(running)))
            placement.hear(report(speaker, *running[speaker]), 0.0)
        if data.draw(st.booleans()) and (held := sorted(running[chosen])):
            placement.forget(request(held[-1]))
            running[chosen].discard(held[-1])
            placement.hear(report(chosen, *running[chosen]), 0.0)


def test_what_was_sent_counts_until_it_is_forgotten() -> None:
    placement = Placement()
    placement.hear(report(0), 0.0)
    placement.hear(report(1, 7), 0.0)
    assert [placed(placement, number) for number in (10, 11, 12)] == [0, 0, 1]
    placement.forget(request(10))
    placement.forget(request(11))
    assert placed(placement, 13) == 0


def test_room_is_a_share_of_the_slots() -> None:
    placement = Placement()
    placement.hear(report(0, 1, slots=2), 0.0)
    placement.hear(report(1, 2, 3, slots=16), 0.0)
    assert placed(placement, 10) == 1


def test_only_live_workers_that_read_the_tier_and_have_the_model_count() -> None:
    placement = Placement()
    placement.hear(report(0, models=("other",)), 0.0)
    placement.hear(report(1, draining=True), 0.0)
    placement.hear(report(2, partitions={Tier.BULK: (2,)}), 0.0)
    assert placed(placement, 10) is None
    assert placed(placement, 10, tier=Tier.BULK) == 2
    assert placed(placement, 10, FRESH_S + 0.1, Tier.BULK) is None
    placement.hear(report(2, partitions={Tier.BULK: (2,)}), 9.0)
    placement.lose(WorkerId("worker-2"))
    assert placed(placement, 10, 9.0, Tier.BULK) is None


def test_a_workers_partitions_share_its_attempts() -> None:
    placement = Placement()
    placement.hear(report(0, partitions={Tier.STANDARD: (1, 3)}), 0.0)
    assert {placed(placement, number) for number in range(20)} == {1, 3}


def test_what_was_lost_twice_runs_where_no_other_such_request_is() -> None:
    placement = Placement()
    suspect = RunningAttempt(request_id=request(1), attempt=3, completion_tokens=0, losses=2)
    assert placement.must_wait(command(9, losses=2), Tier.STANDARD, 0.0), "no worker is known"
    placement.hear(report(0).model_copy(update={"running": (suspect,)}), 0.0)
    placement.hear(report(1, 5, 6, 7), 0.0)
    assert placement.place(command(2, losses=2), Tier.STANDARD, 0.0) == 1
    assert placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0)
    assert not placement.must_wait(command(3, losses=1), Tier.STANDARD, 0.0)
    assert placed(placement, 4) == 0, "others do not care"
    placement.forget(request(2))
    placement.hear(report(1, 5, 6, 7), 0.0)
    assert not placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0)
    assert placement.place(command(3, losses=2), Tier.STANDARD, 0.0) == 1
    assert not placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0), "it does not wait for itself"
