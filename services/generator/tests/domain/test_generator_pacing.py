from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.tiers import Tier
from groundswell.generator.domain.pacing import STREAMED, TokenChunk, TokenPacer, pace_of

ARRIVALS = st.lists(st.tuples(st.integers(1, 5), st.text(max_size=4), st.floats(0, 1)), max_size=60)


def paced(arrivals: list[tuple[int, str, float]], pacer: TokenPacer) -> list[TokenChunk]:
    """The chunks of arrivals (number of tokens, text, seconds since the one before)."""
    now, chunks, next_id = 0.0, [], 0
    for count, text, gap in arrivals:
        now += gap
        ids = tuple(range(next_id, next_id + count))
        next_id += count
        chunks.append(pacer.add(ids, text, now))
    chunks.append(pacer.flush())
    return [chunk for chunk in chunks if chunk is not None]


@given(ARRIVALS, st.sampled_from(Tier), st.integers(0, 100))
def test_chunks_hold_every_token_once_in_order(
    arrivals: list[tuple[int, str, float]], tier: Tier, position: int
) -> None:
    chunks = paced(arrivals, TokenPacer(pace_of(tier), position=position))
    ids = [token_id for chunk in chunks for token_id in chunk.token_ids]
    assert ids == list(range(sum(count for count, _, _ in arrivals)))
    assert "".join(chunk.text for chunk in chunks) == "".join(text for _, text, _ in arrivals)


@given(ARRIVALS, st.integers(0, 100))
def test_sequence_counts_chunks_and_position_counts_tokens(
    arrivals: list[tuple[int, str, float]], position: int
) -> None:
    for number, chunk in enumerate(paced(arrivals, TokenPacer(position=position))):
        assert (chunk.sequence, chunk.position) == (number, position)
        position += len(chunk.token_ids)


def test_the_first_token_goes_out_alone() -> None:
    assert TokenPacer().add((7,), "Yes", 0.0) == TokenChunk(0, 0, (7,), "Yes")


def test_chunks_of_a_fast_model_grow_up_to_a_limit() -> None:
    sizes = [len(chunk.token_ids) for chunk in paced([(1, "x", 0.0)] * 200, TokenPacer())]
    assert sizes[:7] == [1, 2, 4, 8, 16, 32, 32]


def test_a_slow_model_does_not_make_the_reader_wait_for_a_full_chunk() -> None:
    pacer = TokenPacer(sequence=5)
    assert pacer.add((1,), "a", 10.0) is None
    due_at = pacer.due_at()
    assert due_at == 10.0 + STREAMED.most_wait_s
    assert pacer.due(due_at) == TokenChunk(5, 0, (1,), "a")
    assert pacer.due_at() is None


def test_bulk_work_is_one_chunk() -> None:
    assert len(paced([(1, "x", 0.5)] * 200, TokenPacer(pace_of(Tier.BULK)))) == 1


def test_text_without_a_token_is_not_lost() -> None:
    pacer = TokenPacer()
    pacer.add((), "held back", 0.0)
    assert pacer.flush() == TokenChunk(0, 0, (), "held back")
