"""How tokens are gathered into messages: the first alone, then growing chunks."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TokenChunk:
    """Tokens `[position, position + len(token_ids))` of the answer; `sequence` counts an attempt's chunks from 0."""

    sequence: int
    position: int
    token_ids: tuple[int, ...]
    text: str


@dataclass
class TokenPacer:
    """Gathers tokens until there are enough or the oldest has waited long enough.

    Both limits double with every chunk, from one token and `first_wait_s`, up to `max_tokens` and `max_wait_s`: the
    reader sees the first word at once, and a long answer costs few messages.
    """

    position: int = 0
    max_tokens: int = 32
    first_wait_s: float = 0.02
    max_wait_s: float = 0.2
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
        if not self._pending:
            return None
        enough = len(self._ids) >= self._doubled(1, self.max_tokens)
        return self.flush() if enough or now >= self._since + self._wait_s else None

    def due_at(self) -> float | None:
        """When `due` will have a chunk if no more tokens come."""
        return self._since + self._wait_s if self._pending else None

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

    @property
    def _wait_s(self) -> float:
        return self._doubled(self.first_wait_s, self.max_wait_s) if self.sequence else 0.0

    def _doubled(self, start: float, limit: float) -> float:
        return min(limit, start * 2.0 ** min(self.sequence, 32))
