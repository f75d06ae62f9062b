"""One thread budget for a machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.native.budget import thread_budget


@given(st.integers(1, 512))
def test_the_generator_gets_the_most_and_everybody_something(cores: int) -> None:
    budget = thread_budget(cores)
    assert min(budget.values()) >= 1
    assert budget["generator"] == max(budget.values())
    assert max(budget.values()) <= cores


@given(st.integers(3, 512))
def test_services_that_answer_questions_never_fight_for_cores_beyond_two(cores: int) -> None:
    budget = thread_budget(cores)
    assert budget["generator"] + budget["retriever"] == cores


def test_a_machine_without_cores_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one core"):
        thread_budget(0)
