"""The batch over a model of arithmetic: the next token is the sum of all before it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.generation import ChatMessage, FinishReason, Sampling
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.generator.adapters.batch import Batch, Choose
from groundswell.generator.domain.jobs import (
    AttemptKey,
    Cancelled,
    EngineEvent,
    Failed,
    Finished,
    GenerationJob,
    Refused,
    Started,
    Tokens,
)

END = 0
VOCABULARY = 26


def next_token(history: Sequence[int], _sampling: Sampling, _seed: int, _position: int) -> int:
    return (sum(history) * 7 + len(history)) % VOCABULARY


def expected(prompt: str, limit: int) -> list[int]:
    history = [ord(letter) - 96 for letter in prompt]
    answer: list[int] = []
    while len(answer) < limit and (token_id := next_token([*history, *answer], Sampling(), 0, 0)) != END:
        answer.append(token_id)
    return answer


class Letters:
    end_ids = frozenset({END})

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        text = "".join(message.content for message in messages)
        if not text:
            raise ValueError("nothing was asked")
        return [ord(letter) - 96 for letter in text]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(chr(96 + token_id) for token_id in token_ids)


@dataclass
class Sums:
    """Rows whose cache is the history itself; notes how much was read in each call and how many rows wrote."""

    rows: list[list[int]] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    wrote: list[int] = field(default_factory=list)

    def prefill(self, token_ids: Sequence[int], before: list[int] | None) -> tuple[list[int], Choose]:
        self.read.append(len(token_ids))
        history = [*(before or []), *token_ids]
        return history, partial(next_token, list(history))

    def join(self, read: list[int]) -> None:
        self.rows.append(read)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in rows]

    def decode(self, token_ids: Sequence[int]) -> list[Choose]:
        self.wrote.append(len(token_ids))
        self.rows = [[*row, token_id] for row, token_id in zip(self.rows, token_ids, strict=True)]
        return [partial(next_token, list(row)) for row in self.rows]


def new_batch(slots: int = 3, context_tokens: int = 64, prefill_tokens: int = 4) -> Batch:
    return Batch(Letters(), Sums(), slots, context_tokens, prefill_tokens)


def job(
    prompt: str, name: str = "req", *, limit: int = 9, tier: Tier = Tier.STANDARD, **changes: object
) -> GenerationJob:
    fields: dict[str, object] = {
        "key": AttemptKey(RequestId(name), 1),
        "tier": tier,
        "deadline": 0.0,
        "messages": (ChatMessage(role="user", content=prompt),),
        "max_tokens": limit,
    }
    return GenerationJob(**(fields | changes))  # type: ignore[arg-type]


Heard = dict[str, list[EngineEvent]]


def submit(batch: Batch, heard: Heard, submitted: GenerationJob) -> None:
    """The step after it tells what came of the submit, and does nothing else."""
    batch.submit(submitted)
    step(batch, heard)


def step(batch: Batch, heard: Heard) -> None:
    for keyed in batch.step():
        heard.setdefault(keyed.key.request_id, []).append(keyed.event)


def finish(batch: Batch, heard: Heard) -> Heard:
    while batch.busy:
        step(batch, heard)
    return heard


def ids_in(events: list[EngineEvent]) -> list[int]:
    return [token_id for event in events if isinstance(event, Tokens) for token_id in event.token_ids]


ARRIVALS = st.lists(
    st.tuples(st.text("abcdefgh", min_size=1, max_size=20), st.integers(1, 12), st.integers(0, 4)), max_size=10
)


@given(ARRIVALS, st.integers(1, 4), st.integers(1, 6))
def test_every_job_gets_what_it_would_get_alone(
    arrivals: list[tuple[str, int, int]], slots: int, prefill_tokens: int
) -> None:
    batch, heard = new_batch(slots, prefill_tokens=prefill_tokens), Heard()
    for number, (prompt, limit, steps_before) in enumerate(arrivals):
        for _ in range(steps_before):
            step(batch, heard)
        batch.submit(job(prompt, f"req_{number}", limit=limit))
    finish(batch, heard)
    for number, (prompt, limit, _) in enumerate(arrivals):
        events = heard[f"req_{number}"]
        assert events[0] == Started(len(prompt))
        assert ids_in(events) == expected(prompt, limit)
        reason = FinishReason.STOP if len(ids_in(events)) < limit else FinishReason.LENGTH
        assert events[-1] == Finished(reason, len(prompt), len(ids_in(events)))
        assert len(events) == 2 + len(ids_in(events))


@given(ARRIVALS, st.integers(1, 4), st.integers(1, 6))
def test_a_step_never_takes_more_than_its_slots_and_its_share_of_prompts(
    arrivals: list[tuple[str, int, int]], slots: int, prefill_tokens: int
) -> None:
    batch = new_batch(slots, prefill_tokens=prefill_tokens)
    for number, (prompt, limit, _) in enumerate(arrivals):
        batch.submit(job(prompt, f"req_{number}", limit=limit))
    rows = batch.rows
    assert isinstance(rows, Sums)
    while batch.busy:
        read_before = len(rows.read)
        batch.step()
        assert sum(rows.read[read_before:]) <= prefill_tokens
    assert max(rows.wrote, default=0) <= slots


@given(st.text("abcdefgh", min_size=1, max_size=20), st.integers(1, 12), st.data())
def test_an_attempt_that_goes_on_after_a_prefix_gives_the_rest(prompt: str, limit: int, data: st.DataObject) -> None:
    whole = expected(prompt, limit)
    known = data.draw(st.integers(0, len(whole)))
    batch = new_batch()
    batch.submit(job(prompt, limit=limit, prefix_token_ids=tuple(whole[:known])))
    events = finish(batch, Heard())["req"]
    assert ids_in(events) == whole[known:]
    assert isinstance(events[-1], Finished)
    assert events[-1].completion_tokens == len(whole)


def test_an_admission_is_told_before_anything_is_read() -> None:
    batch, heard, rows = new_batch(), Heard(), Sums()
    batch.rows = rows
    submit(batch, heard, job("abcd", "req"))
    assert heard["req"] == [Started(4)]
    assert rows.read == []


def test_others_write_on_while_a_long_prompt_is_read() -> None:
    batch, heard = new_batch(prefill_tokens=2), Heard()
    submit(batch, heard, job("ab", "short", limit=30))
    step(batch, heard)
    submit(batch, heard, job("abcdefgh" * 2, "long"))
    for _ in range(3):
        step(batch, heard)
    assert len(ids_in(heard["short"])) == min(4, len(expected("ab", 30)))
    assert not ids_in(heard["long"])


def test_an_urgent_job_is_read_before_one_that_came_earlier() -> None:
    batch, heard = new_batch(slots=2, prefill_tokens=2), Heard()
    submit(batch, heard, job("abcdefgh", "bulk", tier=Tier.BULK))
    step(batch, heard)
    submit(batch, heard, job("ab", "urgent", tier=Tier.INTERACTIVE))
    step(batch, heard)
    assert ids_in(heard["urgent"])
    assert not ids_in(heard["bulk"])


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_cancelled_job_frees_its_slot_at_once(steps: int) -> None:
    batch, heard = new_batch(slots=1, prefill_tokens=2), Heard()
    batch.submit(job("abc", "gone", limit=30))
    batch.submit(job("abd", "next", deadline=1.0))
    for _ in range(steps):
        step(batch, heard)
    written = len(ids_in(heard.get("gone", [])))
    batch.cancel(AttemptKey(RequestId("gone"), 1))
    finish(batch, heard)
    assert heard["gone"][-1] == Cancelled(written)
    assert ids_in(heard["next"]) == expected("abd", 9)


def test_cancelling_what_does_not_run_changes_nothing() -> None:
    batch = new_batch()
    batch.cancel(AttemptKey(RequestId("unknown"), 1))
    assert not batch.busy


def test_a_prompt_over_the_context_is_refused_with_both_numbers() -> None:
    batch = new_batch(context_tokens=5)
    batch.submit(job("abcde"))
    assert finish(batch, Heard())["req"] == [
        Refused("the prompt has 5 tokens, but the model reads and writes 5 in all")
    ]


def test_an_answer_ends_where_the_context_does() -> None:
    batch = new_batch(context_tokens=5)
    batch.submit(job("abc", limit=100))
    assert ids_in(finish(batch, Heard())["req"]) == expected("abc", 2)


def test_a_job_that_the_tokenizer_stumbles_over_costs_itself_only() -> None:
    class Stumbling(Letters):
        def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
            if messages[0].content == "trap":
                raise TypeError("trap")
            return super().encode(messages)

    batch, heard = new_batch(), Heard()
    batch.tokens = Stumbling()
    submit(batch, heard, job("ab", "other", limit=2))
    submit(batch, heard, job("trap"))
    finish(batch, heard)
    assert heard["req"] == [Started(0), Failed("the prompt could not be read: TypeError")]
    assert isinstance(heard["other"][-1], Finished)


def test_messages_that_the_model_cannot_take_are_refused() -> None:
    batch = new_batch()
    batch.submit(job(""))
    assert finish(batch, Heard())["req"] == [Refused("nothing was asked")]


def test_a_stop_string_ends_the_answer_before_it() -> None:
    whole = expected("abc", 9)
    stop = Letters().decode(whole[2:4])
    batch = new_batch()
    batch.submit(job("abc", sampling=Sampling(stop=(stop,))))
    events = finish(batch, Heard())["req"]
    text = "".join(event.text for event in events if isinstance(event, Tokens))
    assert text == Letters().decode(whole).partition(stop)[0]
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is FinishReason.STOP
