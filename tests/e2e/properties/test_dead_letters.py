"""A record that nobody can read costs itself only."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

COMMANDS = "cmd.retrieve-passages.interactive.v1"
DEAD = "cmd.retrieve-passages.dlq"


def test_garbage_goes_to_the_dead_letters_and_questions_go_on(
    stack: Any,
    put: Callable[..., None],
    lie_on: Callable[[str], list[Any]],
    wait_until: Callable[..., Any],
) -> None:
    key = stack.key_for("beside-garbage")
    question = "Is anything here about garbage?"
    assert stack.ask(question, key)["groundswell"]["citations"] == []
    honest = lie_on(COMMANDS)[-1]
    before = len(lie_on(DEAD))
    put(COMMANDS, b"\xff\x00 no headers and no text")
    put(COMMANDS, b"{", honest.headers)
    put(COMMANDS, b'{"request_id": 1}', honest.headers)

    wait_until(lambda: len(lie_on(DEAD)) == before + 3, what="three dead letters")
    dead = lie_on(DEAD)[before:]
    assert {letter.value for letter in dead} == {b"\xff\x00 no headers and no text", b"{", b'{"request_id": 1}'}
    for letter in dead:
        headers = dict(letter.headers)
        assert headers["dlq_topic"] == COMMANDS.encode()
        assert headers["dlq_service"] == b"retriever"
        assert headers["dlq_reason"]
    assert stack.ask(question, key)["groundswell"]["citations"] == []
