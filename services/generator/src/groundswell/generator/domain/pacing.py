"""How tokens are gathered into messages: the first alone, then growing chunks."""

from dataclasses import dataclass, field

from groundswell.common.tiers import Tier


@dataclass(frozen=True)
class TokenChunk:
    """Tokens `[position, position + len(token_ids))` of the answer; `sequence` counts an attempt's chunks from 0."""

    sequence: int
    position: int
    token_ids: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Pace:
    """A chunk is due when it has so many tokens, or its oldest waited so long; both double, up to a most."""

    first_tokens: int
    most_tokens: int
    first_wait_s: float
    most_wait_s: float


STREAMED = Pace(first_tokens=1, most_tokens=32, first_wait_s=0.04, most_wait_s=0.2)
GATHERED = Pace(first_tokens=4096, most_tokens=4096, first_wait_s=3600.0, most_wait_s=3600.0)
"""Nobody reads along: one chunk at the end."""


def pace_of(tier: Tier) -> Pace:
    return GATHERED if tier is Tier.BULK else STREAMED


@dataclass
class TokenPacer:
    """Gathers the tokens from `position` on by `pace`."""

    pace: Pace = STREAMED
    position: int = 0
    sequence: int = 0
    _ids: list[int] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _since: float = 0.0

    def add(self, token_ids: tuple[int, ...], text: str, now: float) -> TokenChunk | None:
        """Take tokens; the chunk that is due by them, if any."""
        if not self._pending:
            self._since = now
        self._ids.extend(token_ids)
        self._texts.append(text)
        return self.due(now)

    def due(self, now: float) -> TokenChunk | None:
        """The chunk whose time has come, if any."""
        at = self.due_at()
        enough = len(self._ids) >= self._grown(self.pace.first_tokens, self.pace.most_tokens)
        return self.flush() if at is not None and (enough or now >= at) else None

    def due_at(self) -> float | None:
        """When `due` will have a chunk if no more tokens come."""
        return self._since + self._grown(self.pace.first_wait_s, self.pace.most_wait_s) if self._pending else None

    def flush(self) -> TokenChunk | None:
        """Whatever is gathered, now."""
        if not self._pending:
            return None
        chunk = TokenChunk(self.sequence, self.position, tuple(self._ids), "".join(self._texts))
        self.sequence += 1
        self.position += len(self._ids)
        self._ids.clear()
        self._texts.clear()
        return chunk

    @property
    def _pending(self) -> bool:
        return bool(self._ids or any(self._texts))

    def _grown(self, first: float, most: float) -> float:
        return min(most, first * 2.0 ** min(self.sequence, 32))
