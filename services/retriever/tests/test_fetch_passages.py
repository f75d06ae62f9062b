"""The handler, in messages."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from groundswell.common.bus.messages import Received
from groundswell.common.contracts.message import Message
from groundswell.common.contracts.retrieval import (
    NoPassagesFound,
    PassageFilters,
    PassagesRetrieved,
    RetrievePassages,
)
from groundswell.common.errors import Rejected, Unavailable
from groundswell.retriever.handlers import Deps, fetch_passages

if TYPE_CHECKING:
    from services.retriever.tests.conftest import FakeEncoder, FakeLibrary, MakeDocument, MakeMessage

RECORDS = "Records are kept for a day."
TIDES = "Tides rise and fall twice."


async def _outcome(message: Received[RetrievePassages], deps: Deps) -> Message:
    (outgoing,) = await fetch_passages(message, deps=deps)
    return outgoing.payload


async def _texts(message: Received[RetrievePassages], deps: Deps) -> list[str]:
    outcome = await _outcome(message, deps)
    return [passage.text for passage in outcome.passages] if isinstance(outcome, PassagesRetrieved) else []


async def test_the_passage_that_answers_comes_first_with_its_scores(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(TIDES, name="tides.md"), *make_document(RECORDS, heading=("Guide", "Retention")))
    outcome = await _outcome(make_message(), deps)
    assert isinstance(outcome, PassagesRetrieved)
    first = outcome.passages[0]
    assert (first.text, first.section, first.start, first.end) == (RECORDS, "Guide > Retention", 0, len(RECORDS))
    assert first.scores.lexical == 2
    assert first.scores.dense == 0.7
    assert outcome.confidence > 0.9


async def test_the_reply_goes_to_the_partition_that_the_command_named(make_message: "MakeMessage", deps: Deps) -> None:
    (outgoing,) = await fetch_passages(make_message(), deps=deps)
    assert (outgoing.topic, outgoing.partition) == ("rpl.orchestrator.v1", 3)


@pytest.mark.parametrize("query", ["", "  \n\t ", "\u2003"])
async def test_an_empty_question_finds_nothing_and_searches_nothing(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps, query: str
) -> None:
    library.add(*make_document(RECORDS))
    assert isinstance(await _outcome(make_message(query), deps), NoPassagesFound)
    assert library.limits == []


async def test_without_access_nothing_is_found_and_nothing_is_searched(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS))
    assert isinstance(await _outcome(make_message(access=()), deps), NoPassagesFound)
    assert library.limits == []


async def test_a_question_for_another_team_than_the_message_is_rejected(
    make_message: "MakeMessage", deps: Deps
) -> None:
    with pytest.raises(Rejected, match="tenant"):
        await fetch_passages(make_message(team="green"), deps=deps)


async def test_other_teams_are_not_searched_but_shared_knowledge_is(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document("Green records are kept.", team="green"), access=["team:blue", "organisation"])
    library.add(*make_document("Shared records are kept.", team="shared"), access=["organisation"])
    assert await _texts(make_message(access=("team:blue", "organisation")), deps) == ["Shared records are kept."]
    assert {scope.tenant for scope in library.scopes} == {"blue", "shared"}


async def test_a_question_of_the_shared_team_searches_its_tenant_once(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS, team="shared"), access=["organisation"])
    assert await _texts(make_message(tenant="shared", access=("organisation",)), deps) == [RECORDS]
    assert len(library.scopes) == 2


async def test_rights_withdrawn_since_the_index_was_written_hold(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS), access=["group:ops"], indexed_access=("team:blue",))
    assert isinstance(await _outcome(make_message(), deps), NoPassagesFound)


async def test_chunks_of_old_versions_are_not_answered_from(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document("Records are kept for a week."), is_current=False)
    library.add(*make_document(RECORDS, version=2))
    assert await _texts(make_message(), deps) == [RECORDS]


async def test_filters_hold_by_current_facts_even_where_the_index_lags(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS, updated=datetime(2026, 1, 1, tzinfo=UTC)))
    filters = PassageFilters(updated_after=datetime(2026, 6, 1, tzinfo=UTC))
    assert isinstance(await _outcome(make_message(filters=filters), deps), NoPassagesFound)
    assert library.scopes[0].filters == filters
    without_zone = PassageFilters(updated_after=datetime(2026, 1, 1))  # noqa: DTZ001 - a client may forget its zone
    assert await _texts(make_message(filters=without_zone), deps) == [RECORDS]


async def test_an_index_full_of_stale_chunks_is_searched_deeper_twice_at_most(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    for number in range(2000):
        library.add(*make_document(f"Records kept {number}", name=f"{number}.md"), is_current=False)
    assert isinstance(await _outcome(make_message(), deps), NoPassagesFound)
    assert sorted(set(library.limits)) == [100, 400, 1600]


async def test_a_current_chunk_below_many_stale_ones_is_still_found(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    for number in range(90):
        library.add(*make_document(f"Records are kept {number}", name=f"{number}.md"), is_current=False, cosine=0.9)
    library.add(*make_document("Records of the day", name="current.md"), cosine=0.6)
    assert await _texts(make_message(), deps) == ["Records of the day"]


async def test_a_small_index_is_searched_once(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS))
    await _outcome(make_message(), deps)
    assert library.limits == [100] * 4


@pytest.mark.parametrize("method", ["lexical", "dense"])
async def test_a_search_that_fails_once_is_repeated(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps, method: str
) -> None:
    library.add(*make_document(RECORDS))
    library.away = {method: 1}
    outcome = await _outcome(make_message(), deps)
    assert isinstance(outcome, PassagesRetrieved)
    assert outcome.passages[0].scores.lexical is not None
    assert outcome.passages[0].scores.dense is not None


@pytest.mark.parametrize("method", ["lexical", "dense"])
async def test_a_method_that_is_away_is_missed_but_not_fatal(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps, method: str
) -> None:
    library.add(*make_document(RECORDS))
    library.away = {method: 100}
    assert await _texts(make_message(), deps) == [RECORDS]


async def test_without_any_search_the_question_waits(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS))
    library.away = {"lexical": 100, "dense": 100}
    with pytest.raises(Unavailable, match="no search answered"):
        await fetch_passages(make_message(), deps=deps)


async def test_without_the_view_nothing_is_answered_from_the_index_alone(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS))
    library.away = {"view": 100}
    with pytest.raises(Unavailable, match="view"):
        await fetch_passages(make_message(), deps=deps)


async def test_a_question_without_words_is_searched_by_its_vector_alone(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS))
    await _outcome(make_message("😀 😀"), deps)
    assert len(library.limits) == 2


async def test_a_huge_question_is_cut_before_it_costs_anything(
    library: "FakeLibrary", make_message: "MakeMessage", encoder: "FakeEncoder", deps: Deps
) -> None:
    await _outcome(make_message("word " * 200_000), deps)
    assert len(encoder.texts) == 1
    assert len(encoder.texts[0]) <= 2000


async def test_nothing_near_is_said_so(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(TIDES), cosine=0.2)
    outcome = await _outcome(make_message("Who won the cup in 2014?"), deps)
    assert isinstance(outcome, NoPassagesFound)
    assert "near" in outcome.reason


async def test_an_exact_rare_identifier_is_found_however_far_its_vector_is(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document("ERR_4711 means that the disk is full.", name="errors.md"), cosine=0.05)
    for number in range(30):
        library.add(*make_document(f"{TIDES} {number}", name=f"{number}.md"), cosine=0.06)
    texts = await _texts(make_message("What on this planet could possibly lead to err_4711 lately"), deps)
    assert texts[0].startswith("ERR_4711")


async def test_neighbours_become_one_passage_of_exactly_the_text(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    cores = ["Records are kept. ", "Records are kept for a day. ", "Kept records cost room."]
    library.add(*make_document(*cores))
    assert await _texts(make_message(), deps) == ["".join(cores)]


async def test_the_same_text_in_two_documents_is_one_passage(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    library.add(*make_document(RECORDS), *make_document(RECORDS, name="copy.md"))
    assert await _texts(make_message(), deps) == [RECORDS]


@pytest.mark.parametrize("max_passages", [1, 2, 5])
async def test_at_most_as_many_passages_as_asked_for(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps, max_passages: int
) -> None:
    for number in range(20):
        library.add(*make_document(f"Records {number} are kept.", name=f"{number}.md"))
    assert len(await _texts(make_message(max_passages=max_passages), deps)) == max_passages


async def test_asking_twice_gives_the_same_order(
    library: "FakeLibrary", make_document: "MakeDocument", make_message: "MakeMessage", deps: Deps
) -> None:
    for number in range(20):
        library.add(*make_document(f"Records {number} are kept.", name=f"{number}.md"))
    first = await _texts(make_message(), deps)
    library.entries.reverse()
    assert await _texts(make_message(), deps) == first
