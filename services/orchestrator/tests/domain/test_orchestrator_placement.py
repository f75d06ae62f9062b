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


def placed(
    placement: Placement, number: int, now: float = 0.0, tier: Tier = Tier.INTERACTIVE, deadline: float = 60.0
) -> int | None:
    return placement.place(command(number), tier, now, deadline=deadline)


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
    placement.hear(report(0, partitions={Tier.INTERACTIVE: (1, 3)}), 0.0)
    assert {placed(placement, number) for number in range(20)} == {1, 3}


def copies(placement: Placement, now: float = 0.0) -> list[tuple[int, int]]:
    """Number of the request and partition."""
    return [(int(copy.request_id[4:], 16), copy.partition) for copy in placement.copies(now)]


class TwoWorkers:
    """They begin with what they were sent, oldest first, as soon as a slot is free, unless the other runs it."""

    def __init__(self) -> None:
        self.placement = Placement()
        self.inboxes: list[list[int]] = [[], []]
        self.running: list[set[int]] = [set(), set()]
        self.taken: set[int] = set()
        self.work()

    def work(self) -> None:
        for worker in (0, 1):
            while self.inboxes[worker] and len(self.running[worker]) < SLOTS:
                number = self.inboxes[worker].pop(0)
                if number not in self.taken:
                    self.taken.add(number)
                    self.running[worker].add(number)
                    self.placement.bind(request(number), WorkerId(f"worker-{worker}"))
            self.placement.hear(report(worker, *self.running[worker]), 0.0)

    def arrive(self, number: int) -> None:
        worker = placed(self.placement, number)
        assert worker is not None
        self.inboxes[worker].append(number)
        self.work()

    def end(self, worker: int, count: int) -> None:
        for number in sorted(self.running[worker])[:count]:
            self.running[worker].discard(number)
            self.placement.forget(request(number))
        self.work()
        for number, other in copies(self.placement):
            assert len(self.running[other]) < SLOTS, "no more copies than there is room for"
            self.inboxes[other].append(number)
        self.work()

    def waiting(self) -> set[int]:
        return {number for inbox in self.inboxes for number in inbox} - self.taken

    def room(self) -> int:
        return sum(SLOTS - len(running) for running in self.running)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, SLOTS)), max_size=40))
def test_nothing_waits_for_a_full_worker_while_another_has_room(steps: list[tuple[int, int, int]]) -> None:
    workers = TwoWorkers()
    for number, (arrivals, worker, ends) in enumerate(steps, start=1):
        for arrival in range(arrivals):
            workers.arrive(100 * number + arrival)
        workers.end(worker, ends)
        assert not workers.waiting() or not workers.room()


def test_what_is_on_its_way_to_a_free_slot_is_not_sent_twice() -> None:
    placement = Placement()
    placement.hear(report(0), 0.0)
    placement.hear(report(1), 0.0)
    assert [placed(placement, number) for number in range(2 * SLOTS)] == [0, 1] * SLOTS
    assert copies(placement) == []
    placed(placement, 20)
    placement.hear(report(0, *range(0, 2 * SLOTS, 2)), 0.0)
    placement.hear(report(1, *range(1, 2 * SLOTS, 2)), 0.0)
    assert copies(placement) == []
    placement.forget(request(1))
    placement.hear(report(1, *range(3, 2 * SLOTS, 2)), 0.0)
    assert copies(placement) == [(20, 1)]
    assert copies(placement) == []
    placement.bind(request(20), WorkerId("worker-1"))
    placement.forget(request(0))
    placement.hear(report(0, *range(2, 2 * SLOTS, 2)), 0.0)
    assert copies(placement) == [], "it runs"


def test_what_was_sent_to_a_worker_that_is_gone_goes_to_one_with_room() -> None:
    for leave in ("lost", "silent", "draining"):
        placement = Placement()
        placement.hear(report(0), 0.0)
        assert placed(placement, 10) == 0
        now = FRESH_S + 1.0
        if leave == "lost":
            placement.lose(WorkerId("worker-0"))
        elif leave == "draining":
            placement.hear(report(0, draining=True), now)
        placement.hear(report(1), now)
        assert copies(placement, now) == [(10, 1)], leave


def test_a_worker_whose_model_is_being_loaded_again_gets_nothing_and_what_it_has_goes_to_one_with_room() -> None:
    placement = Placement()
    placement.hear(report(0), 0.0)
    assert [placed(placement, number) for number in (10, 11)] == [0, 0]
    placement.hear(report(0, 11, waiting=1), 0.0)
    placement.hear(report(1, 1, 2), 0.0)
    assert copies(placement) == []
    placement.hear(report(0, models=()), 0.0)
    assert copies(placement) == [(10, 1), (11, 1)], "also what waited in its engine when that broke off"
    assert [placed(placement, number) for number in (12, 13)] == [1, 1]
    assert placement.place(command(14, losses=2), Tier.INTERACTIVE, 0.0, deadline=60.0) == 1
    assert placement.must_wait(command(15, losses=2), Tier.INTERACTIVE, 0.0)
    placement.hear(report(0), 0.0)
    assert placed(placement, 16) == 0


def test_what_comes_while_no_model_is_loaded_goes_to_the_worker_that_has_it_first() -> None:
    placement = Placement()
    placement.hear(report(0, models=()), 0.0)
    placement.hear(report(1, models=()), 0.0)
    assert placed(placement, 10) is None
    placement.hear(report(1), 0.0)
    assert copies(placement) == [(10, 1)]


def test_what_lies_on_a_partition_that_went_to_a_full_worker_goes_to_one_with_room() -> None:
    placement = Placement()
    placement.hear(report(0), 0.0)
    assert placed(placement, 10) == 0
    placement.hear(report(0, partitions=dict.fromkeys(Tier, (7,))), 0.0)
    placement.hear(report(1, *range(20, 20 + SLOTS), partitions=dict.fromkeys(Tier, (0, 1))), 0.0)
    assert copies(placement) == [(10, 7)]


def test_what_a_worker_says_it_has_ended_takes_no_slot_although_its_request_goes_on() -> None:
    placement = Placement()
    placement.hear(report(0), 0.0)
    sent = range(10, 10 + SLOTS)
    for number in sent:
        placed(placement, number)
    placement.hear(report(1, 1, 2, 3), 0.0)
    placement.hear(report(0, *sent), 0.0)
    placement.hear(report(0), 0.0)
    assert placed(placement, 99) == 0


def test_the_most_urgent_tier_gets_the_free_slot() -> None:
    placement = Placement()
    placement.hear(report(0, *range(SLOTS)), 0.0)
    for number, tier in enumerate((Tier.BULK, Tier.STANDARD, Tier.INTERACTIVE), start=10):
        placed(placement, number, tier=tier)
    placement.hear(report(1, *range(20, 21 + SLOTS - 2)), 0.0)
    assert copies(placement) == [(12, 1)]


def test_inside_a_tier_the_earliest_deadline_gets_the_free_slot() -> None:
    placement = Placement()
    placement.hear(report(0, *range(SLOTS)), 0.0)
    for number, deadline in enumerate((90.0, 30.0, 60.0), start=10):
        placed(placement, number, deadline=deadline)
    placement.hear(report(1, *range(20, 20 + SLOTS - 2)), 0.0)
    assert copies(placement) == [(11, 1), (12, 1)]


def test_the_slot_that_a_worker_keeps_for_interactive_work_is_no_room_for_others() -> None:
    placement = Placement()
    bulk = [RunningAttempt(request_id=request(n), attempt=1, completion_tokens=0, tier=Tier.BULK) for n in range(3)]
    placement.hear(report(0).model_copy(update={"running": tuple(bulk)}), 0.0)
    placement.hear(report(1, *range(10, 10 + SLOTS)), 0.0)
    assert placed(placement, 20, tier=Tier.BULK) == 0
    assert placed(placement, 21) == 0
    placement.hear(report(1, *range(11, 10 + SLOTS)), 0.0)
    assert copies(placement) == [(20, 1)], "its turn with the other would come only when bulk work has ended there"


def test_what_was_lost_twice_runs_where_no_other_such_request_is() -> None:
    placement = Placement()
    suspect = RunningAttempt(request_id=request(1), attempt=3, completion_tokens=0, losses=2)
    assert placement.must_wait(command(9, losses=2), Tier.STANDARD, 0.0), "no worker is known"
    placement.hear(report(0).model_copy(update={"running": (suspect,)}), 0.0)
    placement.hear(report(1, 5, 6, 7), 0.0)
    assert placement.place(command(2, losses=2), Tier.STANDARD, 0.0, deadline=60.0) == 1
    assert placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0)
    assert not placement.must_wait(command(3, losses=1), Tier.STANDARD, 0.0)
    assert placed(placement, 4) == 0, "others do not care"
    placement.forget(request(2))
    placement.hear(report(1, 5, 6, 7), 0.0)
    assert not placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0)
    assert placement.place(command(3, losses=2), Tier.STANDARD, 0.0, deadline=60.0) == 1
    assert not placement.must_wait(command(3, losses=2), Tier.STANDARD, 0.0), "it does not wait for itself"
