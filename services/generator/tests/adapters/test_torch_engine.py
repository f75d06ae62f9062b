"""The engine over small scripts in place of the model's process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from groundswell.common.contracts.generation import ChatMessage, FinishReason
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.generator.adapters.torch_engine import TorchEngine
from groundswell.generator.domain.jobs import (
    TERMINAL,
    AttemptKey,
    Cancelled,
    EngineEvent,
    Failed,
    Finished,
    GenerationJob,
    Started,
    Tokens,
)

# Answers "hello" at once; does what the prompt says if it is one of the words below.
WORKER = """
import json, os, signal, sys

def say(message):
    print(json.dumps(message), flush=True)

def step(*events):
    say({"kind": "stepped", "seconds": 0.5, "events": [{"key": key, "event": event} for key, event in events]})

say({"kind": "loaded", "context_tokens": 64})
for line in sys.stdin:
    command = json.loads(line)
    if command["kind"] == "cancel":
        step((command["key"], {"kind": "cancelled", "completion_tokens": 0}))
        continue
    key, prompt = command["job"]["key"], command["job"]["messages"][0]["content"]
    step((key, {"kind": "started", "prompt_tokens": 1}))
    if prompt == "die":
        os._exit(3)
    if prompt == "hang":
        signal.pause()
    if prompt == "babble":
        print("what?", flush=True)
    if prompt == "stray":
        step(({**key, "request_id": "req_unknown"}, {"kind": "tokens", "token_ids": [5], "text": "hello"}))
    if prompt == "hello":
        end = {"kind": "finished", "reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
        step((key, {"kind": "tokens", "token_ids": [5], "text": "hello"}), (key, end))
"""


def script(text: str) -> tuple[str, ...]:
    return sys.executable, "-c", text


def job(prompt: str, name: str = "req_1") -> GenerationJob:
    messages = (ChatMessage(role="user", content=prompt),)
    return GenerationJob(AttemptKey(RequestId(name), 1), Tier.STANDARD, 0.0, messages, 9)


@asynccontextmanager
async def running(command: tuple[str, ...] = script(WORKER), **settings: float) -> AsyncIterator[TorchEngine]:
    engine = TorchEngine(command, restart_pause_s=0.01, **settings)  # type: ignore[arg-type]
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


Heard = asyncio.Queue[EngineEvent]


def submit(engine: TorchEngine, work: GenerationJob) -> Heard:
    heard = Heard()
    engine.submit(work, heard.put_nowait)
    return heard


async def rest_of(heard: Heard) -> list[EngineEvent]:
    events = [await heard.get()]
    while not isinstance(events[-1], TERMINAL):
        events.append(await heard.get())
    return events


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


HELLO = [Started(1), Tokens((5,), "hello"), Finished(FinishReason.STOP, 1, 1)]


async def test_is_ready_once_the_model_is_loaded_and_passes_on_what_it_says() -> None:
    async with running() as engine:
        assert engine.ready
        assert await rest_of(submit(engine, job("hello"))) == HELLO
    assert not engine.ready


async def test_jobs_run_side_by_side() -> None:
    async with running() as engine:
        waiting = submit(engine, job("wait", "req_1"))
        assert await rest_of(submit(engine, job("hello", "req_2"))) == HELLO
        engine.cancel(job("wait").key)
        assert await rest_of(waiting) == [Started(1), Cancelled(0)]


async def test_says_how_long_steps_take() -> None:
    seconds: list[float] = []
    engine = TorchEngine(script(WORKER), on_step=seconds.append)
    await engine.start()
    await rest_of(submit(engine, job("hello")))
    await engine.stop()
    assert seconds == [0.5, 0.5]


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("die", "the model's process ended with status 3"),
        ("hang", "a step of the model took longer than 0.5 s"),
        ("babble", "the model's process said what cannot be read"),
        ("stray", "what the model's process said was not expected: KeyError"),
    ],
)
async def test_a_process_that_goes_wrong_fails_its_jobs_and_is_started_again(deed: str, reason: str) -> None:
    async with running(step_timeout_s=0.5) as engine:
        bystander = submit(engine, job("wait", "req_2")) if deed != "hang" else Heard()
        assert await rest_of(submit(engine, job(deed))) == [Started(1), Failed(reason)]
        if deed != "hang":
            assert (await rest_of(bystander))[-1] == Failed(reason)
        await until(lambda: engine.ready)
        assert await rest_of(submit(engine, job("hello"))) == HELLO


async def test_an_idle_process_may_be_silent_for_as_long_as_it_likes() -> None:
    async with running(step_timeout_s=0.5) as engine:
        await rest_of(submit(engine, job("hello")))
        await asyncio.wait({asyncio.create_task(until(lambda: not engine.ready))}, timeout=1)
        assert engine.ready


async def test_a_job_that_comes_while_the_model_is_not_loaded_fails_at_once() -> None:
    engine = TorchEngine(script(WORKER))
    assert await rest_of(submit(engine, job("hello"))) == [Failed("the model is not loaded")]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (script("raise SystemExit(7)"), "its process ended with status 7"),
        (script("import signal; signal.pause()"), "did not load within 0.5 s"),
        (("/nowhere/at/all",), "cannot be started: No such file"),
        (script("print('what?')"), "said what cannot be read"),
        (script("print('x' * 50_000_000)"), "said what cannot be read"),
        (script(WORKER.replace('"loaded"', '"stepped"')), "said what cannot be read"),
    ],
)
async def test_a_model_that_does_not_load_is_an_error_of_start(command: tuple[str, ...], reason: str) -> None:
    with pytest.raises(RuntimeError, match=reason):
        await TorchEngine(command, load_timeout_s=0.5).start()


@pytest.mark.parametrize("trouble", ["print('x' * 50_000_000)", "raise SystemExit(7)", "print('what?')"])
async def test_a_model_that_does_not_load_again_is_tried_until_it_does(trouble: str, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    troubled_once = f"""
import pathlib
starts = pathlib.Path({str(starts)!r})
count = len(starts.read_text()) if starts.exists() else 0
starts.write_text("x" * (count + 1))
if count == 1:
    {trouble}
    raise SystemExit
"""
    async with running(script(troubled_once + WORKER)) as engine:
        await rest_of(submit(engine, job("die")))
        await until(lambda: engine.ready)
        assert await rest_of(submit(engine, job("hello"))) == HELLO
    assert starts.read_text(encoding="ascii") == "xxx"


async def test_says_when_it_is_no_longer_ready_and_when_it_is_again() -> None:
    told: list[bool] = []
    engine = TorchEngine(script(WORKER), restart_pause_s=0.01, on_change=lambda: told.append(engine.ready))
    await engine.start()
    await rest_of(submit(engine, job("die")))
    await until(lambda: engine.ready)
    assert told == [True, False, True]
    await engine.stop()


async def test_stopping_fails_what_runs_and_ends_the_process() -> None:
    says_its_pid = WORKER.replace('"prompt_tokens": 1}))', '"prompt_tokens": os.getpid()}))')
    async with running(script(says_its_pid)) as engine:
        heard = submit(engine, job("wait"))
        started = await heard.get()
        assert isinstance(started, Started)
    assert await rest_of(heard) == [Failed("the engine was stopped")]
    with pytest.raises(ProcessLookupError):
        os.kill(started.prompt_tokens, 0)


async def test_an_attempt_does_not_run_twice_at_once() -> None:
    async with running() as engine:
        submit(engine, job("wait"))
        with pytest.raises(ValueError, match="runs already"):
            submit(engine, job("wait"))
