"""The process over the real Kafka, with the null model."""

import asyncio
import json
import os
import select
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from groundswell.common.bus.admin import ensure_topics
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.bus.readers import PartitionReader
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    AttemptCancelled,
    ChatMessage,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
    WorkerProgressed,
)
from groundswell.common.contracts.message import Message
from groundswell.common.ids import CorrelationId, RequestId, TeamId, new_request_id
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier
from groundswell.common.topics import ATTEMPT_CANCELLED, GENERATE_ANSWER, ORCHESTRATOR_REPLIES, WORKER_PROGRESS

if TYPE_CHECKING:
    from groundswell.native.components import Addresses

pytestmark = [pytest.mark.connected, pytest.mark.timeout(240)]

PARTITION = 7
PATIENCE_S = 90.0
LONG = "word " * 2000


class Client:
    """Sends commands as the orchestrator does, and hears replies and progress."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: list[Message] = []
        self._news = asyncio.Event()

    async def hear(self, message: Received[Any]) -> None:
        self._heard.append(message.payload)
        self._news.set()

    async def ask(self, prompt: str, **changes: object) -> RequestId:
        request_id = new_request_id()
        fields = {"model": "null", "messages": (ChatMessage(role="user", content=prompt),), "max_tokens": 4000}
        command = GenerateAnswer.model_validate({"request_id": request_id} | fields | changes)
        await self.send(GENERATE_ANSWER[Tier.INTERACTIVE], request_id, command)
        return request_id

    async def send(self, topic: str, request_id: RequestId, payload: Message) -> None:
        outgoing = Outgoing(
            topic=topic,
            payload=payload,
            key=request_id,
            correlation_id=CorrelationId(request_id),
            tenant=TeamId("blue"),
            tier=Tier.INTERACTIVE,
            deadline=time.time() + 60,
            reply_to=ReplyAddress(ORCHESTRATOR_REPLIES.physical_name, PARTITION),
        )
        await self._bus.publisher.publish(outgoing)

    def replies(self, request_id: RequestId) -> list[Message]:
        return [reply for reply in self._heard if getattr(reply, "request_id", None) == request_id]

    async def until(self, request_id: RequestId, kind: type[Message]) -> list[Message]:
        """The replies to a request, once one is of `kind`."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(isinstance(reply, kind) for reply in self.replies(request_id)):
                await self.news()
        return self.replies(request_id)

    async def until_running(self, request_id: RequestId, *, running: bool) -> WorkerProgressed:
        """The first progress message from now on that names the request as running, or as not."""
        return await self.until_said(
            lambda said: (request_id in {one.request_id for one in said.running}) is running, since=self.heard_so_far
        )

    async def until_said(self, fits: Callable[[WorkerProgressed], bool], *, since: int) -> WorkerProgressed:
        """The first progress message that fits, of those after the first `since` messages."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for message in self._heard[since:]:
                    if isinstance(message, WorkerProgressed) and fits(message):
                        return message
                since = self.heard_so_far
                await self.news()

    @property
    def heard_so_far(self) -> int:
        return len(self._heard)

    async def news(self) -> None:
        self._news.clear()
        await self._news.wait()


@asynccontextmanager
async def connected(kafka: str) -> AsyncIterator[Client]:
    await ensure_topics(kafka)
    bus = Bus(kafka, service="test")
    await bus.publisher.start()
    client = Client(bus)
    readers = [
        PartitionReader([ORCHESTRATOR_REPLIES], client.hear, bus.context, partition=PARTITION),
        PartitionReader([WORKER_PROGRESS], client.hear, bus.context, partition=0),
    ]
    for reader in readers:
        await reader.start()
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield client
    finally:
        for reader in readers:
            await reader.stop()
        await asyncio.gather(*tasks)
        await bus.publisher.stop()


@asynccontextmanager
async def generator(kafka: str, home: Path, **settings: str) -> AsyncIterator[Process]:
    """The process, ready."""
    variables = {"HOME": str(home), "KAFKA": kafka, "MODEL": "null"} | settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
    environment |= {f"GROUNDSWELL_{name}": value for name, value in variables.items()}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "groundswell.generator", env=environment)
    try:
        await ready(process, home)
        yield process
    finally:
        await stopped(process)


async def stopped(process: Process) -> None:
    if process.returncode is None:
        process.terminate()  # not killed: its group would wait for it, and so would the next test
    try:
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def ready(process: Process, home: Path) -> None:
    run_file = home / "run" / f"generator-{process.pid}.json"
    last: object = "no run file"
    try:
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
            while True:
                if run_file.exists():
                    port = json.loads(run_file.read_text(encoding="utf-8"))["port"]
                    answer = await http.get(f"http://127.0.0.1:{port}/readyz")
                    last = answer.text
                    if answer.status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not ready within {PATIENCE_S} s: {last}")


async def metrics(process: Process, home: Path) -> dict[str, float]:
    """The samples of the generator, as `name{labels}` without the prefix, and what they stand at."""
    port = json.loads((home / "run" / f"generator-{process.pid}.json").read_text(encoding="utf-8"))["port"]
    async with httpx.AsyncClient() as http:
        lines = (await http.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()
    samples = (line.removeprefix("groundswell_").rsplit(" ", 1) for line in lines if line.startswith("groundswell_"))
    return {name: float(value) for name, value in samples}


async def children(process: Process) -> list[int]:
    pids = await asyncio.to_thread(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text)
    return [int(pid) for pid in pids.split()]


def text_of(replies: list[Message]) -> str:
    return "".join(reply.text for reply in replies if isinstance(reply, TokensGenerated))


async def test_an_answer_streams_back_to_the_partition_that_asked(components: "Addresses", tmp_path: Path) -> None:
    async with connected(components.kafka) as client, generator(components.kafka, tmp_path):
        asked = [await client.ask(f'<passage id="1">Fact {number} is true. So it is.</passage>') for number in range(5)]
        refused = await client.ask("hello", model="unknown")
        for number, request_id in enumerate(asked):
            replies = await client.until(request_id, AnswerCompleted)
            assert isinstance(replies[0], GenerationAdmitted)
            assert text_of(replies) == f"Fact {number} is true."
        assert len(await client.until(refused, GenerationRefused)) == 1


async def test_a_cancel_frees_the_slot_and_progress_says_so(components: "Addresses", tmp_path: Path) -> None:
    async with (
        connected(components.kafka) as client,
        generator(components.kafka, tmp_path, NULL_TOKEN_DELAY_S="0.1", GENERATOR_SLOTS="1"),
    ):
        request_id = await client.ask(LONG)
        await client.until(request_id, TokensGenerated)
        await client.until_running(request_id, running=True)
        cancel = AttemptCancelled(request_id=request_id, attempt=1, epoch=0)
        await client.send(ATTEMPT_CANCELLED.physical_name, request_id, cancel)
        last = (await client.until(request_id, GenerationStopped))[-1]
        assert isinstance(last, GenerationStopped)
        assert not last.handed_back
        await client.until_running(request_id, running=False)


async def test_an_attempt_cancelled_behind_a_full_worker_never_reaches_the_engine(
    components: "Addresses", tmp_path: Path
) -> None:
    of_topic = 'tier="interactive",topic="cmd.generate-answer"'
    async with (
        connected(components.kafka) as client,
        generator(components.kafka, tmp_path, NULL_TOKEN_DELAY_S="0.1", GENERATOR_SLOTS="1") as process,
    ):
        runs = await client.ask(LONG)
        await client.until(runs, TokensGenerated)
        waits = await client.ask("never")

        async def both_are_taken() -> bool:
            return (await metrics(process, tmp_path))[f"messages_in_flight{{{of_topic}}}"] == 2

        await eventually(both_are_taken)
        for request_id in (waits, runs):
            cancel = AttemptCancelled(request_id=request_id, attempt=1, epoch=0)
            await client.send(ATTEMPT_CANCELLED.physical_name, request_id, cancel)
        (stopped,) = await client.until(waits, GenerationStopped)
        assert isinstance(stopped, GenerationStopped)
        assert (stopped.handed_back, stopped.completion_tokens) == (False, 0)

        async def is_counted() -> bool:
            samples = await metrics(process, tmp_path)
            assert samples.get(f'messages_handled_total{{outcome="cancelled",{of_topic}}}') == 1, samples
            ended = {name: value for name, value in samples.items() if name.startswith("generations_ended_total")}
            return ended == {'generations_ended_total{model="null",outcome="GenerationStopped"}': 1}

        await eventually(is_counted)


async def test_a_drained_worker_hands_back_and_another_goes_on(components: "Addresses", tmp_path: Path) -> None:
    slow = {"NULL_TOKEN_DELAY_S": "0.05", "GENERATOR_HAND_BACK_AFTER_S": "0"}
    async with connected(components.kafka) as client:
        async with generator(components.kafka, tmp_path, **slow) as process:
            request_id = await client.ask(LONG)
            await client.until(request_id, TokensGenerated)
            process.send_signal(signal.SIGTERM)
            replies = await client.until(request_id, GenerationStopped)
            assert await process.wait() == 0
        last = replies[-1]
        assert isinstance(last, GenerationStopped)
        assert last.handed_back
        assert not list((tmp_path / "run").glob("generator-*.json"))
        prefix = [token_id for reply in replies if isinstance(reply, TokensGenerated) for token_id in reply.token_ids]
        assert len(prefix) == last.completion_tokens
        async with generator(components.kafka, tmp_path):
            rest = await client.ask(LONG, attempt=2, prefix_token_ids=prefix)
            assert text_of(replies) + text_of(await client.until(rest, AnswerCompleted)) == LONG.rstrip()


@pytest.mark.models
async def test_a_real_model_writes_through_kafka_and_leaves_with_its_parent(
    components: "Addresses", tmp_path: Path
) -> None:
    async with (
        connected(components.kafka) as client,
        generator(components.kafka, tmp_path, MODEL="smollm2-135m") as process,
    ):
        request_id = await client.ask("What is the capital of France?", model="smollm2-135m", max_tokens=20)
        replies = await client.until(request_id, AnswerCompleted)
        assert text_of(replies) == "The capital of France is Paris."
        exited = [os.pidfd_open(child) for child in await children(process)]
        process.terminate()
        assert await process.wait() == 0
        for child in exited:
            assert select.select([child], [], [], 0)[0], "the model's process outlived a clean exit"
            os.close(child)
        assert exited


@pytest.mark.models
async def test_a_model_that_dies_in_a_step_costs_what_it_had_begun_and_nothing_that_waited(
    components: "Addresses", tmp_path: Path
) -> None:
    model = "smollm2-135m"
    async with connected(components.kafka) as client, generator(components.kafka, tmp_path, MODEL=model) as process:
        begun = await client.ask("Write a long story about the sea.", model=model)
        await client.until(begun, TokensGenerated)
        (holder,) = await children(process)
        os.kill(holder, signal.SIGSTOP)
        waits = await client.ask("What is the capital of France?", model=model, max_tokens=20)
        await client.until_running(waits, running=True)
        since = client.heard_so_far
        os.kill(holder, signal.SIGKILL)
        await client.until(begun, GenerationFailed)
        await client.until_said(lambda said: said.models == (), since=since)
        since = client.heard_so_far
        replies = await client.until(waits, AnswerCompleted)
        await client.until_said(lambda said: said.models == (model,), since=since)
        assert isinstance(replies[0], GenerationAdmitted)
        assert text_of(replies) == "The capital of France is Paris."
