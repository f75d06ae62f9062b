"""What a new text of a document costs."""

import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from groundswell.ingest.domain.changes import batches, distinct, to_embed


@dataclass(frozen=True)
class Piece:
    content_hash: str
    text: str = ""


pieces = st.lists(st.sampled_from("abcdef").map(Piece))


@given(pieces)
def test_each_hash_is_taken_once_and_in_order(chunks: list[Piece]) -> None:
    hashes = [chunk.content_hash for chunk in distinct(chunks)]
    assert hashes == list(dict.fromkeys(chunk.content_hash for chunk in chunks))


@given(pieces, st.sets(st.sampled_from("abcdef")))
def test_what_a_committed_manifest_holds_is_not_embedded_again(chunks: list[Piece], held: set[str]) -> None:
    hashes = {chunk.content_hash for chunk in to_embed(chunks, held)}
    assert hashes == {chunk.content_hash for chunk in chunks} - held


def test_a_text_that_is_all_held_costs_nothing() -> None:
    assert to_embed([Piece("a"), Piece("b"), Piece("a")], {"a", "b", "c"}) == ()


@given(st.lists(st.text(max_size=20).map(lambda text: Piece(text, text))), st.integers(1, 5), st.integers(10, 60))
def test_batches_hold_every_chunk_in_order_and_keep_to_both_limits(
    chunks: list[Piece], most_chunks: int, most_bytes: int
) -> None:
    parts = list(batches(chunks, most_chunks=most_chunks, most_bytes=most_bytes))
    assert [chunk for part in parts for chunk in part] == chunks
    for part in parts:
        size = sum(len(json.dumps(chunk.text, ensure_ascii=False).encode()) for chunk in part)
        assert len(part) <= most_chunks
        assert size <= most_bytes or len(part) == 1


def test_control_characters_count_as_what_they_are_in_json() -> None:
    chunk = Piece("a", "\x01" * 10)
    assert len(list(batches([chunk, chunk], most_chunks=9, most_bytes=100))) == 2
