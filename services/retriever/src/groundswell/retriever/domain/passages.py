"""From ranked chunks to passages: copies dropped, neighbours merged."""

from collections.abc import Sequence

from groundswell.common.contracts.retrieval import Passage, PassageScores, PassageSection
from groundswell.common.ids import DocumentId
from groundswell.retriever.domain.chunks import CurrentChunk, RankedChunk

MOST_CHUNKS_PER_PASSAGE = 4
"""About a page. A longer passage would take the prompt's room from every other one."""
CHUNKS_PER_PASSAGE = 2
"""How many chunks are taken for each passage asked for, so that merging does not leave a list short."""
HEADING_SEPARATOR = " > "


def without_copies(ranked: Sequence[RankedChunk]) -> list[RankedChunk]:
    """Each text once, at its best rank; of the documents that have it, one that is in the list already."""
    copies: dict[str, list[RankedChunk]] = {}
    for item in ranked:
        copies.setdefault(_letters(item.chunk), []).append(item)
    kept: list[RankedChunk] = []
    documents: set[DocumentId] = set()
    for items in copies.values():
        best = next((item for item in items if item.chunk.document_id in documents), items[0])
        documents.add(best.chunk.document_id)
        kept.append(best)
    return kept


def merge(ranked: Sequence[RankedChunk], max_passages: int) -> list[Passage]:
    """At most `max_passages`, in the order of the best chunk of each. No chunk comes twice."""
    taken: list[RankedChunk] = []
    for item in ranked[: CHUNKS_PER_PASSAGE * max_passages]:
        if len(_runs([*taken, item])) > max_passages:
            break
        taken.append(item)
    rank = {_place(item.chunk): number for number, item in enumerate(taken)}
    runs = sorted(_runs(taken), key=lambda run: min(rank[_place(item.chunk)] for item in run))
    return [_passage(run) for run in runs]


def _letters(chunk: CurrentChunk) -> str:
    """What makes two texts near-duplicates: everything but white space and case."""
    return "".join(chunk.text.split()).casefold()


def _place(chunk: CurrentChunk) -> tuple[DocumentId, int]:
    return chunk.document_id, chunk.ordinal


def _runs(items: Sequence[RankedChunk]) -> list[list[RankedChunk]]:
    runs: list[list[RankedChunk]] = []
    for item in sorted(items, key=lambda item: _place(item.chunk)):
        run = runs[-1] if runs else []
        if run and item.chunk.follows(run[-1].chunk) and len(run) < MOST_CHUNKS_PER_PASSAGE:
            run.append(item)
        else:
            runs.append([item])
    return runs


def _passage(run: Sequence[RankedChunk]) -> Passage:
    first, last = run[0].chunk, run[-1].chunk
    candidate = max((item.candidate for item in run), key=lambda candidate: candidate.fused)
    return Passage(
        document=first.document_id,
        version=first.version,
        title=first.title,
        name=first.name,
        section=HEADING_SEPARATOR.join(_section(run)),
        source=first.source,
        updated=first.updated,
        start=first.start,
        end=last.end,
        text="".join(item.chunk.text for item in run),
        page=first.page,
        scores=PassageScores(lexical=candidate.lexical, dense=candidate.dense, fused=candidate.fused),
        sections=tuple(
            PassageSection(start=item.chunk.start, section=HEADING_SEPARATOR.join(item.chunk.heading)) for item in run
        ),
    )


def _section(run: Sequence[RankedChunk]) -> tuple[str, ...]:
    """The heading path that all of the passage lies under, or that of its beginning if there is none."""
    first = run[0].chunk.heading
    shared = (depth for depth in range(len(first), 0, -1) if all(_under(item, first[:depth]) for item in run))
    return first[: next(shared, len(first))]


def _under(item: RankedChunk, heading: tuple[str, ...]) -> bool:
    return item.chunk.heading[: len(heading)] == heading
