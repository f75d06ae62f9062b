"""What counts as waiting for a full worker while another has room."""

from workers.misplaced import Admitted, Ended, Happening, Sent, busy_share, found_full, misplaced_s

WORKERS = {"a", "b"}


def runs(attempt: str, worker: str, begin: float, end: float) -> list[Happening]:
    return [Sent(begin, attempt, worker), Admitted(begin, attempt, worker), Ended(end, attempt)]


def test_one_who_waits_for_a_full_worker_counts_from_the_moment_when_another_has_room() -> None:
    full = [*runs("1", "a", 0, 10), *runs("2", "b", 0, 4)]
    waits: list[Happening] = [Sent(1, "3", "a"), Admitted(10, "3", "a"), Ended(12, "3")]
    assert misplaced_s([*full, *waits], WORKERS, slots=1) == 6
    sent_to_both: list[Happening] = [Sent(1, "3", "a"), Sent(4.5, "3", "b"), Admitted(5, "3", "b"), Ended(12, "3")]
    assert misplaced_s([*full, *sent_to_both], WORKERS, slots=1) == 0.5


def test_one_who_is_about_to_get_a_slot_where_it_was_sent_does_not_count() -> None:
    about_to: list[Happening] = [Sent(0, "1", "a"), Admitted(3, "1", "a"), Ended(9, "1")]
    assert misplaced_s(about_to, WORKERS, slots=1) == 0


def test_nobody_counts_while_all_are_full() -> None:
    full = [*runs("1", "a", 0, 10), *runs("2", "b", 0, 10)]
    assert misplaced_s([*full, Sent(1, "3", "a"), Admitted(10, "3", "a"), Ended(11, "3")], WORKERS, slots=1) == 0


def test_a_copy_that_lies_where_it_is_not_needed_any_more_takes_no_slot() -> None:
    copied: list[Happening] = [
        Sent(0, "1", "a"),
        Admitted(1, "1", "a"),
        Sent(2, "1", "b"),
        Ended(5, "1"),
        Sent(6, "1", "b"),
    ]
    assert misplaced_s([*copied, *runs("2", "b", 2, 5), Ended(7, "2")], WORKERS, slots=1) == 0


def test_how_busy_the_slots_were_and_how_many_found_none() -> None:
    full = [*runs("1", "a", 0, 10), *runs("2", "b", 0, 5)]
    assert busy_share(full, WORKERS, slots=1) == 0.75
    assert found_full([*full, Sent(1, "3", "a"), Sent(6, "4", "b")], WORKERS, slots=1) == 1
