"""Which processes of a service stay, and what is said of the others."""

from groundswell.native import tables
from groundswell.native.scaling import leaving
from groundswell.native.status import Record


def test_the_oldest_leave_first() -> None:
    assert leaving([_record(1, up_s=9), _record(2, up_s=20), _record(3, up_s=1)], 1) == [2, 1]


def test_what_is_not_ready_leaves_before_what_is() -> None:
    assert leaving([_record(1, up_s=9), _record(2, up_s=1, ready=False)], 1) == [2]
    assert leaving([_record(1, up_s=9, ready=False), _record(2, up_s=1, ready=False)], 1) == [1]


def test_nothing_leaves_when_more_are_wanted() -> None:
    assert leaving([_record(1)], 2) == leaving([], 0) == []


def test_only_what_is_ready_counts_as_running() -> None:
    assert tables.of_scaled("generator", [7, 8], 2) == "generator: 2 running (7, 8)"
    assert tables.of_scaled("generator", [], 0) == "generator: 0 running"
    assert tables.of_scaled("generator", [7], 3).startswith("generator: 1 running (7); 2 not ready yet: ")


def _record(pid: int, *, up_s: float = 0, ready: bool = True) -> Record:
    return Record(
        service="generator",
        pid=pid,
        port=None,
        instance="generator",
        component=False,
        ready=ready,
        missing={} if ready else {"model": "loading"},
        rss_bytes=0,
        uptime_s=up_s,
    )
