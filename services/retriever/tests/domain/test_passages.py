"""From chunks to passages, whatever was found of whichever document."""

from random import Random
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from groundswell.retriever.domain.candidates import Candidate
from groundswell.retriever.domain.chunks import CurrentChunk, RankedChunk
from groundswell.retriever.domain.passages import MOST_CHUNKS_PER_PASSAGE, merge, without_copies

if TYPE_CHECKING:
    from services.retriever.tests.conftest import MakeDocument

CORES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12)


def _ranked(chunks: list[CurrentChunk]) -> list[RankedChunk]:
    return [
        RankedChunk(chunk, Candidate(chunk.chunk_id, 1.0, 0.5, -float(number))) for number, chunk in enumerate(chunks)
    ]


@given(documents=st.lists(CORES, min_size=1, max_size=3), max_passages=st.integers(1, 6), random=st.randoms())
def test_passages_are_exact_disjoint_and_best_first(
    make_document: "MakeDocument", documents: list[list[str]], max_passages: int, random: Random
) -> None:
    texts = {f"{number}.md": "".join(cores) for number, cores in enumerate(documents)}
    chunks = [chunk for number, cores in enumerate(documents) for chunk in make_document(*cores, name=f"{number}.md")]
    random.shuffle(chunks)
    found = chunks[: random.randint(1, len(chunks))]
    passages = merge(_ranked(found), max_passages)
    assert 1 <= len(passages) <= max_passages
    assert all(passage.text == texts[passage.name][passage.start : passage.end] for passage in passages)
    assert passages[0].start <= found[0].start < passages[0].end
    assert [p.scores.fused for p in passages] == sorted((p.scores.fused for p in passages), reverse=True)
    covered = [(passage.name, offset) for passage in passages for offset in range(passage.start, passage.end)]
    assert len(covered) == len(set(covered))
    assert {p.name for p in passages} <= {chunk.name for chunk in found}


def test_neighbours_are_merged_whatever_their_rank(make_document: "MakeDocument") -> None:
    one, two, three, four = make_document("one ", "two ", "three ", "four")
    assert [passage.text for passage in merge(_ranked([three, one, four]), 5)] == ["three four", "one "]
    assert [passage.text for passage in merge(_ranked([three, one, two]), 5)] == ["one two three "]


def test_neighbours_of_different_versions_are_not(make_document: "MakeDocument") -> None:
    first = make_document("one ", "two")[0]
    second = make_document("one ", "two", version=2)[1]
    assert len(merge(_ranked([first, second]), 5)) == 2


def test_a_long_run_is_cut_into_passages_of_a_page(make_document: "MakeDocument") -> None:
    chunks = make_document(*(f"{number} " for number in range(8)))
    passages = merge(_ranked(chunks), 5)
    assert [len(passage.text.split()) for passage in passages] == [MOST_CHUNKS_PER_PASSAGE] * 2


def test_one_document_does_not_fill_more_than_its_share(make_document: "MakeDocument") -> None:
    chunks = make_document(*(f"{number} " for number in range(100)))
    assert sum(len(passage.text.split()) for passage in merge(_ranked(chunks), 3)) == 6


def test_the_section_is_the_heading_that_all_of_a_passage_is_under(make_document: "MakeDocument") -> None:
    one, two = make_document("one ", "two", heading=("Guide", "Setup"))
    other = make_document("one ", "two", heading=("Guide", "Use"))[1]
    elsewhere = make_document("one ", "two", heading=("Notes",))[1]
    sections = [merge(_ranked([one, second]), 5)[0].section for second in (two, other, elsewhere)]
    assert sections == ["Guide > Setup", "Guide", "Guide > Setup"]


def test_each_part_of_a_passage_keeps_its_own_section(make_document: "MakeDocument") -> None:
    one = make_document("one ", "two", heading=("Guide", "Setup"))[0]
    two = make_document("one ", "two", heading=("Guide", "Use"))[1]
    (passage,) = merge(_ranked([two, one]), 5)
    assert [(part.start, part.section) for part in passage.sections] == [(0, "Guide > Setup"), (4, "Guide > Use")]


def test_copies_are_dropped_at_the_worse_rank(make_document: "MakeDocument") -> None:
    (original,), (copy,) = make_document("Same text"), make_document("same  TEXT\n", name="copy.md")
    assert [item.chunk.name for item in without_copies(_ranked([copy, original]))] == ["copy.md"]


def test_of_two_copied_documents_the_chunks_of_one_are_taken(make_document: "MakeDocument") -> None:
    one, two = make_document("one ", "two")
    copy_one, copy_two = make_document("one ", "two", name="copy.md")
    kept = without_copies(_ranked([one, copy_two, copy_one, two]))
    assert [passage.text for passage in merge(kept, 5)] == ["one two"]


@given(CORES)
def test_no_text_is_lost_with_its_copies(make_document: "MakeDocument", cores: list[str]) -> None:
    kept = without_copies(_ranked(make_document(*cores)))
    assert {item.chunk.text.casefold().strip() for item in kept} <= {core.casefold().strip() for core in cores}
    assert {"".join(core.split()).casefold() for core in cores} == {
        "".join(item.chunk.text.split()).casefold() for item in kept
    }
