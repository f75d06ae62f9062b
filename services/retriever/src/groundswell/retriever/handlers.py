"""From a question to passages."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.retrieval import NoPassagesFound, PassagesRetrieved, RetrievePassages
from groundswell.common.errors import Rejected
from groundswell.common.ids import SHARED_TEAM
from groundswell.common.telemetry import names
from groundswell.retriever.domain.candidates import Candidate
from groundswell.retriever.domain.chunks import CurrentChunk, RankedChunk, fits
from groundswell.retriever.domain.depth import depths, enough
from groundswell.retriever.domain.evidence import HOPELESS, NEAR_FROM, POOL, weigh
from groundswell.retriever.domain.fusion import fuse, lexical_weight
from groundswell.retriever.domain.passages import CHUNKS_PER_PASSAGE, merge, without_copies
from groundswell.retriever.domain.query import Query, read_query
from groundswell.retriever.ports import CurrentPassages, PassageIndex, QueryEncoder
from groundswell.retriever.search import Search

Outcome = PassagesRetrieved | NoPassagesFound


@dataclass(frozen=True)
class Deps:
    """What the handlers work with."""

    encoder: QueryEncoder
    index: PassageIndex
    passages: CurrentPassages
    near_from: float = NEAR_FROM


async def fetch_passages(message: Received[RetrievePassages], *, deps: Deps) -> Sequence[Outgoing]:
    """Answer with passages that the caller may read now, or say that nothing near was found."""
    command = message.payload
    if command.team != message.envelope.tenant:
        raise Rejected("the team of the query is not the tenant of the message")
    outcome = await _outcome(command, deps)
    names.RETRIEVALS.labels(outcome.type_name()).inc()
    return [reply(message, outcome)]


async def _outcome(command: RetrievePassages, deps: Deps) -> Outcome:
    query = read_query(command.query)
    if not query.text:
        return _none(command, "the question is empty")
    if not command.access:
        return _none(command, "the key may read no documents")
    weighed = max(POOL, CHUNKS_PER_PASSAGE * command.max_passages)
    ranked = without_copies(await _readable(command, query, deps))[:weighed]
    if not ranked:
        return _none(command, "there are no documents that the key may read and that match the filters")
    evidence = weigh(query, ranked)
    if evidence.confidence < deps.near_from:
        return _none(command, "nothing in the documents is near the question")
    likely = [
        item
        for number, (item, chance) in enumerate(zip(ranked, evidence.of_each, strict=True))
        if chance >= HOPELESS or number == 0
    ]
    return PassagesRetrieved(
        request_id=command.request_id,
        passages=tuple(merge(likely, command.max_passages)),
        confidence=evidence.confidence,
    )


async def _readable(command: RetrievePassages, query: Query, deps: Deps) -> list[RankedChunk]:
    """Ranked chunks that the current manifests and rights allow; looks deeper while too few survive."""
    search = Search(command, query, encoder=deps.encoder, index=deps.index)
    kept: list[RankedChunk] = []
    for depth in depths(command.max_passages):
        found = await search.look(depth.limit)
        candidates = fuse(found.lexical, found.dense, weight=lexical_weight(query))
        kept = await _kept(command, candidates[: depth.checked], deps.passages)
        if enough(len(kept), command.max_passages) or (found.is_all and len(candidates) <= depth.checked):
            break
    return kept


async def _kept(
    command: RetrievePassages, candidates: Sequence[Candidate], passages: CurrentPassages
) -> list[RankedChunk]:
    if not candidates:
        return []
    rank = {candidate.chunk_id: number for number, candidate in enumerate(candidates)}
    current = await passages.current(rank.keys(), teams={command.team, SHARED_TEAM}, access=command.access)
    allowed = [chunk for chunk in current if chunk.chunk_id in rank and fits(chunk, command.filters)]
    names.CHUNKS_CHECKED.labels("kept").inc(len(allowed))
    names.CHUNKS_CHECKED.labels("dropped").inc(len(rank.keys() - {chunk.chunk_id for chunk in allowed}))

    def order(chunk: CurrentChunk) -> tuple[int, str, int]:
        return rank[chunk.chunk_id], chunk.document_id, chunk.ordinal

    return [RankedChunk(chunk, candidates[rank[chunk.chunk_id]]) for chunk in sorted(allowed, key=order)]


def _none(command: RetrievePassages, reason: str) -> NoPassagesFound:
    return NoPassagesFound(request_id=command.request_id, reason=reason)
