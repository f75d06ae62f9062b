"""The oracle finds what it is there for, and nothing where all is well."""

from dataclasses import replace
from typing import Any

import pytest

from soaking.oracle import Asked, Disturbance, Kept, Try, violations

QUIET = Disturbance(100, 110, breaks_connections=False)
ROUGH = replace(QUIET, breaks_connections=True)
DONE = Kept("completed", "stop", "one two three")


def attempt(**heard: Any) -> Try:
    complete: dict[str, Any] = {
        "began": 0.0,
        "over": 1.0,
        "status": 200,
        "request_id": "req_1",
        "text": "one two three",
        "endings": ["stop"],
    }
    return Try(**(complete | heard))


def cut(**heard: Any) -> Try:
    """A connection that broke in the middle of an answer while the platform was disturbed."""
    return attempt(**{"began": 105.0, "over": 106.0, "text": "one two", "endings": [], "broken": "ReadError"} | heard)


def asked(*tries: Try, **about: Any) -> Asked:
    plain: dict[str, Any] = {
        "number": 1,
        "question": "one two three",
        "echoed": True,
        "may_expire": False,
        "keyed": len(tries) > 1,
    }
    return Asked(**(plain | about), tries=tries)


@pytest.mark.parametrize(
    ("client", "row"),
    [
        (asked(attempt()), DONE),
        (asked(cut()), DONE),
        (asked(cut(request_id=None, status=0), attempt(), attempt()), DONE),
        (asked(cut(request_id=None, status=503, broken=None, retry_after=True), attempt()), DONE),
        (
            asked(attempt(text="one", endings=["deadline_exceeded"]), may_expire=True),
            Kept("expired", "deadline_exceeded", "one"),
        ),
        (
            asked(attempt(status=408, text="", endings=["deadline_exceeded"]), may_expire=True),
            Kept("expired", "deadline_exceeded", "one"),
        ),
        (asked(attempt(text="one", endings=[], left=True)), Kept("cancelled", "request_cancelled", "one two")),
        (asked(attempt(text="7 metres [1]"), echoed=False), Kept("completed", "stop", "7 metres [1]")),
    ],
)
def test_what_is_well_is_no_violation(client: Asked, row: Kept) -> None:
    assert violations([client], {"req_1": row}, ROUGH) == []


@pytest.mark.parametrize(
    ("client", "row", "named"),
    [
        (asked(attempt()), None, "is not known"),
        (asked(cut()), Kept("generating", None, "one two"), "is generating"),
        (
            asked(attempt(endings=["request_cancelled"])),
            Kept("cancelled", "request_cancelled", "one two three"),
            "is cancelled",
        ),
        (asked(attempt(endings=["stop", "stop"])), DONE, "2 ends"),
        (asked(attempt()), replace(DONE, final_events=0), "has 0 final events"),
        (asked(attempt(endings=[])), DONE, "without an end"),
        (asked(attempt(endings=["length"])), DONE, "was told length"),
        (asked(attempt(text="one two")), DONE, "was told 'one two'"),
        (asked(cut(text="one three")), DONE, "was sent 'one three'"),
        (asked(attempt(text="one two two three")), Kept("completed", "stop", "one two two three"), "one text"),
        (asked(cut(began=0.0, over=1.0)), DONE, "connection broke"),
        (asked(cut(), attempt(request_id="req_2")), DONE, "one key"),
        (asked(cut(), cut()), DONE, "never told"),
        (asked(attempt(status=503, request_id=None, endings=[], retry_after=True)), None, "nothing was away"),
        (asked(cut(status=503, request_id=None, broken=None)), None, "without Retry-After"),
        (asked(attempt(status=500, request_id=None)), None, "turned away with 500"),
    ],
)
def test_what_is_wrong_is_named(client: Asked, row: Kept | None, named: str) -> None:
    kept = {"req_1": row, "req_2": row} if row else {}
    assert named in " ".join(violations([client], kept, ROUGH))


def test_a_connection_that_breaks_where_none_has_to_is_named() -> None:
    assert "connection broke" in " ".join(violations([asked(cut())], {"req_1": DONE}, QUIET))


def test_a_client_that_is_turned_away_where_nothing_is_away_is_named() -> None:
    turned_away = cut(status=503, request_id=None, broken=None, retry_after=True)
    assert violations([asked(turned_away)], {}, ROUGH) == []
    assert "nothing was away" in " ".join(violations([asked(turned_away)], {}, replace(ROUGH, turns_away=False)))


def test_one_request_for_two_clients_is_named() -> None:
    assert violations([asked(attempt()), asked(attempt(), number=2)], {"req_1": DONE}, QUIET) == [
        "req_1 was given to 2 clients"
    ]
