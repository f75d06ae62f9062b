"""From what the state machine wants to messages, and what to do on an event. Nothing is published here."""

import math
import time
from collections.abc import Callable, Sequence

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.contracts.answers import (
    AnswerEnded,
    AnswerFollowed,
    AnswerReleased,
    CancelRequested,
    RepliesAdopted,
    ReplyProbe,
    StreamAdopted,
)
from groundswell.common.contracts.generation import (
    AttemptCancelled,
    GenerateAnswer,
    WorkerProgressed,
)
from groundswell.common.contracts.knowledge import DocumentEvent, DocumentRemoved
from groundswell.common.contracts.message import Message
from groundswell.common.contracts.moderation import CheckText
from groundswell.common.ids import SHARED_TEAM, CorrelationId, RequestId, TeamId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.common.topics import (
    ANSWER_STREAM,
    ATTEMPT_CANCELLED,
    CHECK_TEXT,
    GENERATE_ANSWER,
    ORCHESTRATOR_BULK_REPLIES,
    ORCHESTRATOR_REPLIES,
    RETRIEVE_PASSAGES,
    Reply,
)
from groundswell.orchestrator.domain.liveness import BoundAttempts, WorkerSigns
from groundswell.orchestrator.domain.openai_shapes import answer_object
from groundswell.orchestrator.domain.placement import Copy, Placement
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.domain.state import CancelAttempt, RequestState
from groundswell.orchestrator.ports import RequestRecord, Uploads

CONTROL_WITHIN_S = 10.0
"""Releases and cancels are worth sending also when the request itself is past its deadline."""
PROBE_LIFE_S = 1.0


def command(state: RequestState, payload: Message, reply_partition: int, partition: int | None = None) -> Outgoing:
    """The command that carries `payload`, to `partition` if that matters, answered on a partition of this replica."""
    tier = state.question.tier
    if isinstance(payload, CheckText):
        topic = CHECK_TEXT[tier]
    elif isinstance(payload, GenerateAnswer):
        topic = GENERATE_ANSWER[tier]
    else:
        topic = RETRIEVE_PASSAGES[tier]
    return _outgoing(
        state,
        topic,
        payload,
        deadline=state.question.deadline,
        reply_to=ReplyAddress(replies_of(tier).physical_name, reply_partition),
        partition=partition,
    )


def replies_of(tier: Tier) -> Reply:
    """Where the replies to a request of `tier` arrive."""
    return ORCHESTRATOR_BULK_REPLIES if tier is Tier.BULK else ORCHESTRATOR_REPLIES


async def drop_older_uploads(message: Received[DocumentEvent], *, uploads: Uploads) -> Sequence[Outgoing]:
    """Ingest has gone past older revisions of the document, and past the removal of one that is gone."""
    event = message.payload
    first_kept = event.revision + 1 if isinstance(event, DocumentRemoved) else event.revision
    await uploads.drop_older(event.document_id, first_kept)
    return []


async def hear_progress(
    message: Received[WorkerProgressed],
    *,
    workers: WorkerSigns,
    placement: Placement,
    bound: BoundAttempts,
    send_copy: Callable[[Copy], None],
) -> None:
    """A worker's sign of life, what it runs, and its room, perhaps for what waits for another."""
    now = time.monotonic()
    workers.hear_progress(message.payload, now)
    bound.hear(message.payload, sent=message.deadline - message.envelope.remaining_ms / 1000, heard=now)
    placement.hear(message.payload, now)
    for copy in placement.copies(now):
        send_copy(copy)


def replies_adopted(topic: Reply, partition: int, epoch: int) -> Outgoing:
    """The mark on a reply partition from which on the owner with `epoch` hears."""
    return _of_owner(topic, partition, RepliesAdopted(epoch=epoch), life_s=CONTROL_WITHIN_S, epoch=epoch)


def reply_probe(topic: Reply, partition: int, owner: str) -> Outgoing:
    probe = ReplyProbe(owner=owner, sent_s=time.monotonic())
    return _of_owner(topic, partition, probe, life_s=PROBE_LIFE_S)


def _of_owner(topic: Reply, partition: int, payload: Message, *, life_s: float, epoch: int = 0) -> Outgoing:
    """What the owner of a reply partition lays there itself."""
    return Outgoing(
        topic=topic.physical_name,
        partition=partition,
        payload=payload,
        key=str(partition),
        correlation_id=CorrelationId(f"partition-{partition}"),
        tenant=SHARED_TEAM,
        tier=Tier.INTERACTIVE,
        deadline=time.time() + life_s,
        epoch=epoch,
    )


def to_owner(request: RequestRecord, payload: CancelRequested | AnswerFollowed) -> Outgoing:
    """To the replica that carries the request, or will."""
    tier = Tier(request.tier)
    return Outgoing(
        topic=replies_of(tier).physical_name,
        partition=request.partition,
        payload=payload,
        key=request.request_id,
        correlation_id=CorrelationId(request.request_id),
        tenant=request.team,
        tier=tier,
        deadline=time.time() + CONTROL_WITHIN_S,
    )


def stream_adopted(question: Question, epoch: int) -> Outgoing:
    """What former owners append to the request's answer stream from here on does not count."""
    return Outgoing(
        topic=ANSWER_STREAM.physical_name,
        payload=StreamAdopted(request_id=question.request_id, epoch=epoch),
        key=question.request_id,
        correlation_id=CorrelationId(question.request_id),
        tenant=question.caller.team,
        tier=question.tier,
        deadline=time.time() + CONTROL_WITHIN_S,
        epoch=epoch,
    )


def released(state: RequestState, start: int, text: str) -> Outgoing:
    payload = AnswerReleased(request_id=state.question.request_id, epoch=state.epoch, start=start, text=text)
    return _outgoing(state, ANSWER_STREAM.physical_name, payload, deadline=time.time() + CONTROL_WITHIN_S)


def ended(request_id: RequestId, team: TeamId, tier: Tier, answer: Answer, *, epoch: int) -> Outgoing:
    """The final event of an answer stream, which is worth sending however late it is."""
    payload = AnswerEnded(
        request_id=request_id,
        epoch=epoch,
        outcome=answer.outcome,
        length=len(answer.text),
        answer=answer_object(answer),
    )
    return Outgoing(
        topic=ANSWER_STREAM.physical_name,
        payload=payload,
        key=request_id,
        correlation_id=CorrelationId(request_id),
        tenant=team,
        tier=tier,
        deadline=math.inf,
        epoch=epoch,
    )


def cancelled(state: RequestState, cancel: CancelAttempt) -> Outgoing:
    """No worker is to run the attempt, nor any before it."""
    epoch = state.epoch if cancel.epoch is None else cancel.epoch
    return _cancelled(state, AttemptCancelled(request_id=state.request_id, attempt=cancel.attempt, epoch=epoch))


def bound(state: RequestState, worker: WorkerId) -> Outgoing:
    """No other worker is to run the newest attempt, and none any before it."""
    attempt, epoch = state.attempt, state.attempt_epoch
    return _cancelled(state, AttemptCancelled(request_id=state.request_id, attempt=attempt, epoch=epoch, but_of=worker))


def unwanted(cancel: AttemptCancelled, envelope: Envelope) -> Outgoing:
    """Nobody waits for the attempt that the message with `envelope` came of."""
    return Outgoing(
        topic=ATTEMPT_CANCELLED.physical_name,
        payload=cancel,
        key=cancel.request_id,
        correlation_id=envelope.correlation_id,
        tenant=envelope.tenant,
        tier=envelope.tier,
        deadline=time.time() + CONTROL_WITHIN_S,
        causation_id=envelope.message_id,
    )


def _cancelled(state: RequestState, payload: AttemptCancelled) -> Outgoing:
    return _outgoing(state, ATTEMPT_CANCELLED.physical_name, payload, deadline=time.time() + CONTROL_WITHIN_S)


def _outgoing(
    state: RequestState,
    topic: str,
    payload: Message,
    *,
    deadline: float,
    reply_to: ReplyAddress | None = None,
    partition: int | None = None,
) -> Outgoing:
    question = state.question
    return Outgoing(
        topic=topic,
        payload=payload,
        key=question.request_id,
        correlation_id=CorrelationId(question.request_id),
        tenant=question.caller.team,
        tier=question.tier,
        deadline=deadline,
        attempt=state.attempt,
        epoch=state.epoch,
        reply_to=reply_to,
        partition=partition,
    )
