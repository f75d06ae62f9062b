"""Which request an Idempotency-Key stands for, and when two bodies ask the same."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.ids import TeamId
from groundswell.orchestrator.domain.idempotency import fingerprint_of, request_id_of

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
TEAMS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True).map(TeamId)
BODIES = st.dictionaries(
    st.text(max_size=8),
    st.recursive(st.none() | st.integers() | st.text(max_size=8), st.lists, max_leaves=5),
    max_size=5,
)


@given(TEAMS, KEYS, TEAMS, KEYS)
def test_a_key_of_a_team_is_one_request_and_no_other(team: TeamId, key: str, other_team: TeamId, other: str) -> None:
    request = request_id_of(team, key)
    assert re.fullmatch(r"req_[0-9a-f]{24}", request)
    assert (request == request_id_of(other_team, other)) == ((team, key) == (other_team, other))


@given(BODIES, BODIES)
def test_two_bodies_ask_the_same_when_they_say_the_same(body: dict[str, object], other: dict[str, object]) -> None:
    turned = dict(reversed(body.items()))
    assert fingerprint_of(body) == fingerprint_of(turned)
    assert (fingerprint_of(body) == fingerprint_of(other)) == (
        json.dumps(body, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


def test_how_an_answer_is_sent_is_no_part_of_what_is_asked() -> None:
    assert fingerprint_of({"model": "m", "stream": True, "stream_options": {}}) == fingerprint_of({"model": "m"})
