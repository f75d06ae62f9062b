"""The catalogue of topics: what travels where, by whom, and for how long.

Topics are created and verified from here, docs/topics.md is generated from here, and code reaches a topic by its
constant: `RETRIEVE_PASSAGES[tier]`.
"""

from dataclasses import dataclass
from functools import cached_property

from groundswell.common.contracts import answers, generation, knowledge, moderation, retrieval
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.tiers import Tier

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DEAD_LETTER_RETENTION_MS = 14 * DAY_MS
DEAD_LETTER_ROOM_BYTES = 64 * 1024
"""A dead letter must fit even when its original only just did."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One entry. `partitions` is per physical topic; `key` says in words what the record key is."""

    name: str
    payloads: tuple[type[Message], ...]
    key: str
    owner: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    partitions: int = 4
    retention_ms: int = DAY_MS
    max_bytes: int = 1024 * 1024
    version: int = 1
    purpose: str

    @cached_property
    def by_type(self) -> dict[str, type[Message]]:
        return {payload.type_name(): payload for payload in self.payloads}

    @property
    def physical_names(self) -> tuple[str, ...]:
        return (f"{self.name}.v{self.version}",)

    @property
    def physical_name(self) -> str:
        """The one Kafka topic of an event or a reply."""
        return self.physical_names[0]

    def dead_letters(self, service: str) -> str:
        """The dead-letter topic of `service` as a consumer of this topic."""
        return f"{self.name}.{service}.dlq"


@dataclass(frozen=True, kw_only=True)
class Event(Topic):
    """A fact; belongs to its producer. `broadcast`: every process reads all of it from now on, in no group."""

    broadcast: bool = False


@dataclass(frozen=True, kw_only=True)
class Reply(Topic):
    """Outcomes of commands, to the partition that the command named."""


@dataclass(frozen=True, kw_only=True)
class Command(Topic):
    """A request to its one consumer, in three tiers. `outcomes` is the union that its replies are of."""

    outcomes: tuple[type[Message], ...]

    def __getitem__(self, tier: Tier) -> str:
        return f"{self.name}.{tier.value}.v{self.version}"

    @property
    def physical_names(self) -> tuple[str, ...]:
        return tuple(self[tier] for tier in Tier)

    def dead_letters(self, service: str) -> str:  # noqa: ARG002 - a command has one consumer
        return f"{self.name}.dlq"


_GAVE_UP = (CommandFailed, CommandExpired)

INGEST_DOCUMENT = Command(
    name="cmd.ingest-document",
    payloads=(knowledge.IngestDocument,),
    outcomes=_GAVE_UP,
    key="document id",
    owner="ingest",
    producers=("orchestrator",),
    consumers=("ingest",),
    purpose="Make a blob the newest version of a document",
)
REMOVE_DOCUMENT = Command(
    name="cmd.remove-document",
    payloads=(knowledge.RemoveDocument,),
    outcomes=_GAVE_UP,
    key="document id",
    owner="ingest",
    producers=("orchestrator",),
    consumers=("ingest",),
    purpose="Remove a document from answers and from the index",
)
EMBED_CHUNKS = Command(
    name="cmd.embed-chunks",
    payloads=(knowledge.EmbedChunks,),
    outcomes=(knowledge.ChunksEmbedded, *_GAVE_UP),
    key="document id",
    owner="embedder",
    producers=("ingest",),
    consumers=("embedder",),
    purpose="Embed and index the chunks of a version that are not there yet",
)
RETRIEVE_PASSAGES = Command(
    name="cmd.retrieve-passages",
    payloads=(retrieval.RetrievePassages,),
    outcomes=(retrieval.PassagesRetrieved, retrieval.NoPassagesFound, *_GAVE_UP),
    key="request id",
    owner="retriever",
    producers=("orchestrator",),
    consumers=("retriever",),
    purpose="Find the passages that answer a question, within the caller's rights",
)
CHECK_TEXT = Command(
    name="cmd.check-text",
    payloads=(moderation.CheckText,),
    outcomes=(moderation.TextCleared, moderation.TextBlocked, *_GAVE_UP),
    key="request id",
    owner="moderator",
    producers=("orchestrator",),
    consumers=("moderator",),
    purpose="Judge an input or a window of an answer",
)
GENERATE_ANSWER = Command(
    name="cmd.generate-answer",
    payloads=(generation.GenerateAnswer,),
    outcomes=(
        generation.GenerationAdmitted,
        generation.TokensGenerated,
        generation.AnswerCompleted,
        generation.GenerationRefused,
        generation.GenerationFailed,
        generation.GenerationStopped,
        *_GAVE_UP,
    ),
    key="request id",
    owner="generator",
    producers=("orchestrator",),
    consumers=("generator",),
    purpose="Run a language model on a prompt; outcomes stream back",
)

_ORCHESTRATOR_OUTCOMES: tuple[type[Message], ...] = tuple(
    dict.fromkeys(
        (
            *RETRIEVE_PASSAGES.outcomes,
            *CHECK_TEXT.outcomes,
            *GENERATE_ANSWER.outcomes,
            answers.RepliesAdopted,
            answers.ReplyProbe,
            answers.CancelRequested,
            answers.AnswerFollowed,
        )
    ),
)
ORCHESTRATOR_REPLIES = Reply(
    name="rpl.orchestrator",
    payloads=_ORCHESTRATOR_OUTCOMES,
    key="request id",
    owner="orchestrator",
    producers=("retriever", "moderator", "generator", "orchestrator"),
    consumers=("orchestrator",),
    partitions=8,
    purpose="Outcomes of interactive and standard work; a replica leases a partition",
)
ORCHESTRATOR_BULK_REPLIES = Reply(
    name="rpl.orchestrator-bulk",
    payloads=_ORCHESTRATOR_OUTCOMES,
    key="request id",
    owner="orchestrator",
    producers=("retriever", "moderator", "generator", "orchestrator"),
    consumers=("orchestrator",),
    partitions=8,
    purpose="Outcomes of bulk work, so that a flood of them delays nobody",
)
INGEST_REPLIES = Reply(
    name="rpl.ingest",
    payloads=EMBED_CHUNKS.outcomes,
    key="document id",
    owner="ingest",
    producers=("embedder", "ingest"),
    consumers=("ingest",),
    purpose="Outcomes of embedding, and which commands ingest itself gave up; any ingest replica takes them",
)

DOCUMENT_LIFECYCLE = Event(
    name="evt.document-lifecycle",
    payloads=(
        knowledge.DocumentVersionCommitted,
        knowledge.DocumentUnchanged,
        knowledge.DocumentRemoved,
        knowledge.DocumentRejected,
    ),
    key="document id",
    owner="ingest",
    producers=("ingest",),
    consumers=("orchestrator",),
    retention_ms=7 * DAY_MS,
    purpose="What became of a document; caches and conversations drop what is stale",
)
ANSWER_STREAM = Event(
    name="evt.answer-stream",
    payloads=(answers.StreamAdopted, answers.AnswerReleased, answers.AnswerEnded),
    key="request id",
    owner="orchestrator",
    producers=("orchestrator",),
    consumers=("orchestrator",),
    broadcast=True,
    purpose="Released text and the final event of each request; clients are sent only what was read back from it",
)
WORKER_PROGRESS = Event(
    name="evt.worker-progress",
    payloads=(generation.WorkerProgressed,),
    key="worker id",
    owner="generator",
    producers=("generator",),
    consumers=("orchestrator",),
    partitions=1,
    retention_ms=HOUR_MS,
    broadcast=True,
    purpose="Once a second from each worker, and when what it runs changes: alive, running attempts, room",
)
ATTEMPT_CANCELLED = Event(
    name="evt.attempt-cancelled",
    payloads=(generation.AttemptCancelled,),
    key="request id",
    owner="orchestrator",
    producers=("orchestrator",),
    consumers=("generator",),
    partitions=1,
    retention_ms=HOUR_MS,
    broadcast=True,
    purpose="Free what runs for a request that was cancelled, or in a worker that is not to run it",
)

CATALOGUE: tuple[Topic, ...] = (
    INGEST_DOCUMENT,
    REMOVE_DOCUMENT,
    EMBED_CHUNKS,
    RETRIEVE_PASSAGES,
    CHECK_TEXT,
    GENERATE_ANSWER,
    ORCHESTRATOR_REPLIES,
    ORCHESTRATOR_BULK_REPLIES,
    INGEST_REPLIES,
    DOCUMENT_LIFECYCLE,
    ANSWER_STREAM,
    WORKER_PROGRESS,
    ATTEMPT_CANCELLED,
)


@dataclass(frozen=True)
class PhysicalTopic:
    """A Kafka topic as the broker knows it."""

    name: str
    partitions: int
    configs: dict[str, str]


_STAMPED = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}
CLOCK = PhysicalTopic("evt.clock-read.v1", 1, {"retention.ms": str(HOUR_MS), "max.message.bytes": "1024"} | _STAMPED)
"""An empty record of each process that starts: when it was appended tells the process the broker's time."""


def physical_topics(catalogue: tuple[Topic, ...] | None = None) -> list[PhysicalTopic]:
    """Every Kafka topic that the catalogue stands for, dead letters included; of the whole one also CLOCK."""
    if catalogue is None:
        return [*physical_topics(CATALOGUE), CLOCK]
    topics = []
    for entry in catalogue:
        live = {"retention.ms": str(entry.retention_ms), "max.message.bytes": str(entry.max_bytes)}
        topics += [PhysicalTopic(name, entry.partitions, live | _STAMPED) for name in entry.physical_names]
        if isinstance(entry, Event) and entry.broadcast:
            continue
        dead = {
            "retention.ms": str(DEAD_LETTER_RETENTION_MS),
            "max.message.bytes": str(entry.max_bytes + DEAD_LETTER_ROOM_BYTES),
        }
        names = dict.fromkeys(entry.dead_letters(service) for service in entry.consumers)
        topics += [PhysicalTopic(name, 1, dead | _STAMPED) for name in names]
    return topics
