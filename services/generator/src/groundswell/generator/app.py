"""The generator, put together."""

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from functools import partial

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume_stream, listen
from groundswell.common.errors import Misconfigured, Overloaded
from groundswell.common.ids import WorkerId
from groundswell.common.runtime import Service
from groundswell.common.telemetry import names
from groundswell.common.topics import ATTEMPT_CANCELLED, GENERATE_ANSWER
from groundswell.encoders.catalogue import Kind, ModelSpec, find_model
from groundswell.encoders.errors import UnknownModel
from groundswell.encoders.store import locate
from groundswell.generator.adapters.engine_resource import EngineResource
from groundswell.generator.adapters.null_engine import NullEngine
from groundswell.generator.adapters.torch_engine import TorchEngine, worker_command
from groundswell.generator.adapters.worker_messages import HeldModel
from groundswell.generator.domain.cancellations import REMEMBERED_S
from groundswell.generator.handlers import (
    Generation,
    cancel_attempt,
    generate_answer,
    hand_back,
    report_progress,
    stopped_before_it_ran,
)
from groundswell.generator.ports import Engine
from groundswell.generator.settings import Settings

PROGRESS_EVERY_S = 1.0
PROGRESS_PAUSE_S = 0.05
"""Between two reports at least."""


def build(settings: Settings | None = None) -> Service:
    settings = settings or Settings.load("generator")
    model = _model(settings.model)
    changed = asyncio.Event()
    engine = _engine(model, settings, changed)
    deps = Generation(
        engine=engine, model=model.name, worker=_worker_id(), slots=settings.generator_slots, changed=changed
    )
    beat = _Heartbeat(deps, hand_back_after_s=min(settings.generator_hand_back_after_s, settings.drain_s / 2))
    return Service(
        name="generator",
        settings=settings,
        subscriptions=[
            consume_stream(
                GENERATE_ANSWER,
                partial(generate_answer, deps=deps),
                slots=settings.generator_slots,
                when_cancelled=partial(stopped_before_it_ran, deps=deps),
            ),
            listen(ATTEMPT_CANCELLED, partial(cancel_attempt, deps=deps), since_s=REMEMBERED_S),
        ],
        resources={"model": EngineResource(engine, partial(_locate, model, settings))},
        on_bus=beat.on_bus,
        background=[beat.run],
        before_drain=beat.drain,
    )


class _Heartbeat:
    """Says once a second what the worker runs, and soon after that has changed, for as long as the bus runs."""

    def __init__(self, deps: Generation, hand_back_after_s: float) -> None:
        self._deps = deps
        self._hand_back_after_s = hand_back_after_s
        self._bus: Bus | None = None

    async def on_bus(self, bus: Bus) -> None:
        self._bus = bus

    async def run(self) -> None:
        while True:
            self._deps.changed.clear()
            await self._say()
            await asyncio.sleep(PROGRESS_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(PROGRESS_EVERY_S - PROGRESS_PAUSE_S):
                    await self._deps.changed.wait()

    async def drain(self) -> None:
        """From now on what runs may finish; what still runs after a while goes to another worker."""
        self._deps.draining = True
        asyncio.get_running_loop().call_later(self._hand_back_after_s, hand_back, self._deps)
        await self._say()

    async def _say(self) -> None:
        if self._bus is None:
            return
        try:
            await self._bus.publisher.publish(report_progress(self._deps, self._bus.partitions(GENERATE_ANSWER)))
        except Overloaded:
            return  # the next one says more


def _model(name: str) -> ModelSpec:
    try:
        model = find_model(name)
    except UnknownModel as error:
        raise Misconfigured(f"GROUNDSWELL_MODEL: {error}") from error
    if model.kind is Kind.EMBEDDER:
        raise Misconfigured(f"GROUNDSWELL_MODEL: {name} writes no text; name a language model")
    return model


def _engine(model: ModelSpec, settings: Settings, changed: asyncio.Event) -> Engine:
    context_tokens = min(model.context_tokens, settings.generator_context_tokens)
    if model.kind is Kind.NULL:
        return NullEngine(
            token_delay_s=settings.null_token_delay_s,
            answer_delay_s=settings.null_answer_delay_s,
            context_tokens=context_tokens,
        )
    held = HeldModel(
        folder=str(settings.models / model.name),
        slots=settings.generator_slots,
        context_tokens=context_tokens,
        prefill_tokens=settings.generator_prefill_tokens,
        threads=settings.torch_threads,
        dtype=settings.generator_dtype,
    )
    return TorchEngine(
        worker_command(held),
        threads=held.threads,
        step_timeout_s=settings.generator_step_timeout_s,
        on_step=names.STEP_SECONDS.labels(model.name).observe,
        on_change=changed.set,
    )


def _locate(model: ModelSpec, settings: Settings) -> None:
    """Raises ModelMissing, which says how to pull it."""
    if model.kind is not Kind.NULL:
        locate(model.name, models_dir=settings.models)


def _worker_id() -> WorkerId:
    return WorkerId(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
