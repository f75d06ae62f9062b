import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from groundswell.common.contracts.generation import ChatMessage, FinishReason, Sampling
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.generator.adapters.null_engine import NullEngine
from groundswell.generator.domain.jobs import (
    TERMINAL,
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

KEY = AttemptKey(RequestId("req_1"), 1)


def job(
    prompt: str, *, max_tokens: int = 99, stop: tuple[str, ...] = (), prefix_token_ids: tuple[int, ...] = ()
) -> GenerationJob:
    messages = (ChatMessage(role="user", content=prompt),)
    return GenerationJob(KEY, Tier.STANDARD, 0.0, messages, max_tokens, Sampling(stop=stop), prefix_token_ids)


async def events_of(engine: NullEngine, work: GenerationJob) -> list[EngineEvent]:
    heard: asyncio.Queue[EngineEvent] = asyncio.Queue()
    engine.submit(work, heard.put_nowait)
    return await rest_of(heard)


async def rest_of(heard: "asyncio.Queue[EngineEvent]") -> list[EngineEvent]:
    events = [await heard.get()]
    while not isinstance(events[-1], TERMINAL):
        events.append(await heard.get())
    return events


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


async def test_quotes_a_passage_word_by_word() -> None:
    events = await events_of(NullEngine(), job('<passage id="1">The sky is blue. It is.</passage>'))
    assert events[0] == Started(7)
    assert [event.text for event in events if isinstance(event, Tokens)] == ["The", " sky", " is", " blue."]
    assert events[-1] == Finished(FinishReason.STOP, 7, 4)


async def test_the_same_prompt_has_the_same_tokens() -> None:
    assert await events_of(NullEngine(), job("a b a")) == await events_of(NullEngine(), job("a b a"))


async def test_stops_at_the_longest_answer_wanted() -> None:
    events = await events_of(NullEngine(), job("one two three", max_tokens=2))
    assert text_of(events) == "one two"
    assert events[-1] == Finished(FinishReason.LENGTH, 3, 2)


async def test_stops_before_a_stop_string() -> None:
    assert text_of(await events_of(NullEngine(), job("one two three", stop=("two",)))) == "one"


async def test_goes_on_after_a_prefix() -> None:
    events = await events_of(NullEngine(), job("one two three", prefix_token_ids=(1, 2)))
    assert text_of(events) == " three"
    assert events[-1] == Finished(FinishReason.STOP, 3, 3)


async def test_refuses_a_prompt_over_its_context_with_both_numbers() -> None:
    (refused,) = await events_of(NullEngine(context_tokens=3), job("one two three"))
    assert refused == Refused("the prompt has 3 tokens, but the model reads and writes 3 in all")


async def test_a_cancelled_job_ends_at_once() -> None:
    engine, heard = NullEngine(token_delay_s=3600.0), asyncio.Queue[EngineEvent]()
    engine.submit(job("one two"), heard.put_nowait)
    assert await heard.get() == Started(2)
    engine.cancel(KEY)
    engine.cancel(KEY)
    assert await rest_of(heard) == [Cancelled(0)]


async def test_an_attempt_does_not_run_twice_at_once() -> None:
    engine = NullEngine(token_delay_s=3600.0)
    engine.submit(job("one"), lambda _event: None)
    with pytest.raises(ValueError, match="runs already"):
        engine.submit(job("one"), lambda _event: None)
    await engine.stop()


async def test_stopping_fails_what_runs() -> None:
    engine, heard = NullEngine(token_delay_s=3600.0), asyncio.Queue[EngineEvent]()
    await engine.start()
    engine.submit(job("one"), heard.put_nowait)
    assert engine.ready
    await engine.stop()
    assert await rest_of(heard) == [Failed("the engine was stopped")]
    assert not engine.ready


async def test_all_that_runs_gets_a_token_in_each_step_and_what_joins_begins_with_the_next() -> None:
    engine, order = NullEngine(), list[str]()
    ended = asyncio.Event()

    def listens(name: str, joins: Callable[[], None]) -> Callable[[EngineEvent], None]:
        def tell(event: EngineEvent) -> None:
            if isinstance(event, Tokens):
                order.append(name)
                if len(order) == 1:
                    joins()
            elif isinstance(event, Finished) and name == "b":
                ended.set()

        return tell

    second = replace(job("one two three"), key=replace(KEY, attempt=2))
    engine.submit(job("one two three"), listens("a", lambda: engine.submit(second, listens("b", lambda: None))))
    await ended.wait()
    assert "".join(order) == "aababb"
