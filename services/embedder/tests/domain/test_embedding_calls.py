"""Which texts go to the model, and together with which."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from groundswell.embedder.domain.texts import calls


@given(texts=st.lists(st.text(max_size=30)), budget=st.integers(min_value=1, max_value=60))
def test_calls_keep_every_text_in_order_and_the_budget(texts: list[str], budget: int) -> None:
    planned = calls(texts, budget_characters=budget)
    assert [text for call in planned for text in call] == texts
    assert all(call for call in planned)
    assert all(len(call) == 1 or sum(map(len, call)) <= budget for call in planned)


@given(texts=st.lists(st.text(min_size=1, max_size=30)), budget=st.integers(min_value=1, max_value=60))
def test_a_new_call_begins_only_when_the_text_does_not_fit(texts: list[str], budget: int) -> None:
    planned = calls(texts, budget_characters=budget)
    for call, following in pairwise(planned):
        assert sum(map(len, call)) + len(following[0]) > budget


def test_no_texts_are_no_calls() -> None:
    assert calls([]) == []
