"""What a service consumes, said in its app.py: one line for each subscription."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.contracts.message import Message
from groundswell.common.topics import Command, Event, Reply, Topic

Handle = Callable[[Received[Any]], Awaitable[Sequence[Outgoing]]]
HandleBatch = Callable[[Sequence[Received[Any]]], Awaitable[Sequence[Outgoing]]]
HandleStream = Callable[[Received[Any]], AsyncGenerator[Outgoing, None]]
Hear = Callable[[Received[Any]], Awaitable[None]]
WhenCancelled = Callable[[Received[Any]], Message | None]
"""The outcome of a command that was cancelled before its work began; None: it was not cancelled. It must not block."""


@dataclass(frozen=True)
class Batch:
    """A batch is handled when it has `messages`, or `wait_s` after its first."""

    messages: int
    wait_s: float


@dataclass(frozen=True, kw_only=True)
class Consumption:
    """Work: commands in tiers, or replies shared by a group.

    A job is a record, or a batch of them. `slots` jobs run at once over all tiers, `prefetch` more wait in each tier.
    Exactly one of the handlers is set. A streaming handler is long work: its record counts as done when the first
    message that it yields is published. `when_cancelled` is asked when a command was read, and right before each try:
    what was cancelled is answered so and never reaches the handler.
    """

    topic: Topic
    slots: int
    prefetch: int
    handle: Handle | None = None
    handle_batch: HandleBatch | None = None
    handle_stream: HandleStream | None = None
    batch: Batch | None = None
    when_cancelled: WhenCancelled | None = None


@dataclass(frozen=True, kw_only=True)
class EventSubscription:
    """An event, in the group of the service."""

    topic: Event
    handle: Handle


@dataclass(frozen=True, kw_only=True)
class BroadcastSubscription:
    """A broadcast event, heard by every process; missed while away, but for the last `since_s` before the start."""

    topic: Event
    hear: Hear
    since_s: float = 0.0


def consume(topic: Command | Reply, handler: Handle, *, slots: int = 8, prefetch: int = 16) -> Consumption:
    """Short work: committed after its effects are published."""
    return Consumption(topic=topic, handle=handler, slots=slots, prefetch=prefetch)


def consume_batches(topic: Command, handler: HandleBatch, *, batch: Batch, slots: int = 1) -> Consumption:
    """Short work in batches across partitions; a batch that fails is tried again message by message.

    The handler sets `causation_id` (as `reply` and `follow` do), so that what it returns travels in the right trace.
    """
    return Consumption(topic=topic, handle_batch=handler, batch=batch, slots=slots, prefetch=1)


def consume_stream(
    topic: Command,
    handler: HandleStream,
    *,
    slots: int,
    prefetch: int = 1,
    when_cancelled: WhenCancelled | None = None,
) -> Consumption:
    """Long work: committed on admission, which is the first message that the handler yields.

    The same record may come again, also to the same process, after it was admitted: the handler knows what it runs.
    """
    return Consumption(
        topic=topic, handle_stream=handler, slots=slots, prefetch=prefetch, when_cancelled=when_cancelled
    )


def subscribe(topic: Event, handler: Handle) -> EventSubscription:
    """Hear an event once per service, at least once, in order per key."""
    return EventSubscription(topic=topic, handle=handler)


def listen(topic: Event, hear: Hear, *, since_s: float = 0.0) -> BroadcastSubscription:
    """Hear a broadcast event in every process, from `since_s` before it starts."""
    return BroadcastSubscription(topic=topic, hear=hear, since_s=since_s)
