"""Citations: which span of which passage supports a sentence of the answer, and the marks that say so.

The model is not asked to cite: small ones cannot. A sentence gets a mark only if a span holds most of what it says
and every number and identifier in it; a sentence without such a span gets none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from groundswell.common.contracts.retrieval import Passage
from groundswell.common.lexemes import analyse
from groundswell.orchestrator.domain.question import Citation
from groundswell.orchestrator.domain.sentences import sentence_ends, sentence_ranges

MIN_COVERAGE = 0.65
"""Share of a sentence's content lexemes that its span must hold."""
MAX_SPAN_SENTENCES = 2
MAX_QUOTE_CHARS = 400

_STOPWORDS = frozenset(
    analyse(
        "a an the this that these those it its is are was were be been being am do does did done have has had "
        "having will would can could should may might must shall and or but if then else than so as of in on at by "
        "to from for with without into onto over under about not no nor only also there here which who whom whose "
        "what when where why how you your yours we our us they their them he she his her i me my one any some each "
        "all more most such very just according passage passages document documents based provided following "
        "answer question",
    ).split(),
)
_NUMBERS = r"\d{1,2}(?:\s?,\s?\d{1,2}){0,15}"
_MARK = rf"\[{_NUMBERS}\]"
_BEGUN_MARK = rf"\[(?:{_NUMBERS}\s?(?:,\s?)?)?"
_BEFORE_MARK = r"(?:[ \t]+|(?<=[.!?,;:\"']))"
_MODEL_MARK = re.compile(rf"{_BEFORE_MARK}(?:{_MARK})+")
_PERHAPS_A_MARK = re.compile(rf"{_BEFORE_MARK}(?:{_MARK})*(?:{_BEGUN_MARK})?$")
_EXACT = re.compile(r"[\d._\-/:@+#]")


@dataclass(frozen=True)
class Span:
    """`[start, end)` of a passage's document, in passage number `passage` (from 0)."""

    passage: int
    start: int
    end: int
    quote: str


@dataclass(frozen=True)
class Citing:
    """How far an answer has been cited. `read` counts generated code points, `text` is what came out with marks."""

    passages: tuple[Passage, ...]
    read: int = 0
    sentence_start: int = 0
    text: str = ""
    citations: tuple[Citation, ...] = ()
    sentences: int = 0
    supported: int = 0


def without_model_marks(raw: str, *, final: bool) -> str:
    """`raw` less marks that the model wrote itself, which nobody checked; holds back a tail that may become one."""
    unsure = None if final else _PERHAPS_A_MARK.search(raw)
    return _MODEL_MARK.sub("", raw[: unsure.start()] if unsure else raw)


def cite(state: Citing, generated: str, until: int, *, final: bool) -> Citing:
    """Go on to `until` in `generated`; a mark follows each supported sentence as soon as its end is sure."""
    for end in sentence_ends(generated[:until], state.sentence_start):
        # The end of the window ends a sentence only if nothing follows: "3." may become "3.5".
        if end < until or final:
            state = _close_sentence(state, generated, end)
    if final and until > state.sentence_start:
        state = _close_sentence(state, generated, until)
    # White space waits for what follows it: a mark belongs before it.
    out = until if final else max(state.read, len(generated[:until].rstrip()))
    return replace(state, text=state.text + generated[state.read : out], read=out)


def _close_sentence(state: Citing, generated: str, end: int) -> Citing:
    sentence = generated[state.sentence_start : end]
    if not sentence.strip():
        return replace(state, sentence_start=end)
    trailing = len(sentence) - len(sentence.rstrip())
    text = state.text + generated[state.read : max(state.read, end - trailing)]
    span = support(sentence, state.passages)
    closed = replace(
        state,
        read=max(state.read, end - trailing),
        sentence_start=end,
        sentences=state.sentences + bool(_content(sentence)),
        text=text,
    )
    if span is None:
        return closed
    citations, mark = _numbered(state.citations, state.passages, span)
    return replace(closed, text=f"{text} [{mark}]", citations=citations, supported=state.supported + 1)


def support(sentence: str, passages: Sequence[Passage]) -> Span | None:
    """The span that holds the most of what `sentence` says, if that is enough."""
    said = _content(sentence)
    if not said:
        return None
    exact = {lexeme for lexeme in said if _EXACT.search(lexeme)}
    best: tuple[float, int, Span] | None = None
    for number, passage in enumerate(passages):
        for start, end, held in _spans(passage.text):
            coverage = len(said & held) / len(said)
            # Of two spans that hold as much, the shorter says it more exactly.
            rank = (coverage, start - end)
            if coverage >= MIN_COVERAGE and exact <= held and (best is None or rank > best[:2]):
                quote = passage.text[start:end]
                best = (*rank, Span(number, passage.start + start, passage.start + end, quote))
    return best[2] if best else None


@lru_cache(maxsize=256)
def _spans(text: str) -> tuple[tuple[int, int, frozenset[str]], ...]:
    sentences = sentence_ranges(text)
    spans = []
    for first in range(len(sentences)):
        for last in range(first, min(first + MAX_SPAN_SENTENCES, len(sentences))):
            start, end = sentences[first][0], sentences[last][1]
            if last == first or end - start <= MAX_QUOTE_CHARS:
                spans.append((start, end, frozenset(analyse(text[start:end]).split())))
    return tuple(spans)


def _content(sentence: str) -> set[str]:
    return {lexeme for lexeme in analyse(sentence).split() if lexeme not in _STOPWORDS}


def _numbered(
    citations: tuple[Citation, ...], passages: Sequence[Passage], span: Span
) -> tuple[tuple[Citation, ...], int]:
    """The citations with that of `span`, and its mark; one span keeps one mark."""
    passage = passages[span.passage]
    for citation in citations:
        if (citation.document, citation.start, citation.end) == (passage.document, span.start, span.end):
            return citations, citation.mark
    citation = Citation(
        mark=len(citations) + 1,
        document=passage.document,
        version=passage.version,
        title=passage.title,
        name=passage.name,
        section=passage.section_at(span.start),
        source=passage.source,
        updated=passage.updated.isoformat(),
        start=span.start,
        end=span.end,
        quote=span.quote,
        page=passage.page,
    )
    return (*citations, citation), citation.mark
