from hypothesis import given
from hypothesis import strategies as st

from groundswell.encoders.batching import plan_batches

lengths_of_texts = st.lists(st.integers(0, 300), max_size=80)
budgets = st.integers(1, 4096)


@given(lengths_of_texts, budgets)
def test_every_text_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, budget_tokens=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(lengths_of_texts, budgets)
def test_a_padded_batch_keeps_to_the_budget_unless_one_text_is_above_it(lengths: list[int], budget: int) -> None:
    for batch in plan_batches(lengths, budget_tokens=budget):
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= budget or len(batch) == 1


@given(lengths_of_texts, budgets)
def test_batches_run_from_long_to_short_and_keep_the_order_of_equals(lengths: list[int], budget: int) -> None:
    order = [index for batch in plan_batches(lengths, budget_tokens=budget) for index in batch]
    assert order == sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def test_texts_of_like_length_share_a_batch() -> None:
    assert plan_batches([10, 200, 12, 190, 11], budget_tokens=400) == [[1, 3], [2, 4, 0]]


def test_no_texts_are_no_batches() -> None:
    assert plan_batches([], budget_tokens=2048) == []
