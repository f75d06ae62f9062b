"""How far a long step is, where nobody looks at a terminal."""

from typing import Any

import pytest

from groundswell.cli.bar import shown_bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"s": 100.0}
    monkeypatch.setattr("time.monotonic", lambda: now["s"])
    return now


def test_a_line_is_said_now_and_then_and_not_for_each_step(clock: dict[str, float], capsys: Any) -> None:
    with shown_bar() as shown:
        shown.expect(30, "uploading")
        for _ in range(12):
            clock["s"] += 1
            shown.advance()
        shown.expect(40, "reading and embedding")
        clock["s"] += 5
        shown.reach(7, "embedding a[b].md\x1b[2J (9 chunks)")
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "uploading: 5 of 30 (5 s)",
        "uploading: 10 of 30 (10 s)",
        "embedding a[b].md[2J (9 chunks): 7 of 40 (5 s)",
    ]
    assert said.out == ""


def test_what_is_done_at_once_says_nothing(clock: dict[str, float], capsys: Any) -> None:
    with shown_bar() as shown:
        shown.expect(2, "uploading")
        shown.advance()
        shown.reach(2, "uploading")
    assert capsys.readouterr().err == ""


def test_a_stretch_of_nothing_is_passed_over(clock: dict[str, float], capsys: Any) -> None:
    with shown_bar() as shown:
        shown.expect(0, "uploading")
        clock["s"] += 60
        shown.reach(0, "reading")
    assert capsys.readouterr().err == ""
