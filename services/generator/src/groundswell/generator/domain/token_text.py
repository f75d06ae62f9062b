"""From token ids to text that may be shown: whole characters, and nothing that a stop string could still take back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_HELD_LIMIT = 16  # tokens; a character has at most 4 bytes, so what is longer is no character but noise of the model
_CONTEXT = 8  # tokens decoded again with the new ones: some tokenizers write a token differently at the start of a text


@dataclass(frozen=True)
class Released:
    """Tokens that may go out, the text that they add, and whether a stop string ended the answer."""

    token_ids: tuple[int, ...] = ()
    text: str = ""
    stopped: bool = False


@dataclass
class TokenText:
    """The text of a growing answer.

    Tokens are released whole: an id goes out with the end of its text. Only the token in which a stop string begins
    goes out with less than its text, and is the last one.
    """

    decode: Callable[[Sequence[int]], str]
    stop: tuple[str, ...] = ()
    prefix: tuple[int, ...] = ()
    _context: list[int] = field(init=False)
    _held: list[int] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._context = list(self.prefix[-_CONTEXT:])

    def push(self, token_id: int) -> Released:
        """Take the next token; what may go out by it."""
        self._held.append(token_id)
        text = self._text(len(self._held))
        if (start := _first_stop(text, self.stop)) is not None:
            return self._stop_at(text[:start])
        for count in range(len(self._held), 0, -1):
            if self._is_safe(count, text):
                return self._release(count)
        return Released()

    def flush(self) -> Released:
        """The rest, at the end of the answer; half a character is left out."""
        rest = self._release(len(self._held))
        return Released(rest.token_ids, rest.text.rstrip(INCOMPLETE))

    def _text(self, count: int) -> str:
        known = self.decode(self._context) if self._context else ""
        return self.decode(self._context + self._held[:count])[len(known) :]

    def _is_safe(self, count: int, text: str) -> bool:
        head = text if count == len(self._held) else self._text(count)
        whole = not head.endswith(INCOMPLETE) or count > _HELD_LIMIT
        return whole and text.startswith(head) and not _may_begin_stop(text, len(head), self.stop)

    def _stop_at(self, text: str) -> Released:
        count = next(n for n in range(len(self._held) + 1) if n == len(self._held) or len(self._text(n)) >= len(text))
        token_ids = tuple(self._held[:count])
        self._held.clear()
        return Released(token_ids, text, stopped=True)

    def _release(self, count: int) -> Released:
        if not count:
            return Released()
        text = self._text(count)
        token_ids = tuple(self._held[:count])
        del self._held[:count]
        self._context = (self._context + list(token_ids))[-_CONTEXT:]
        return Released(token_ids, text)


def _first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    found = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return min(found, default=None)


def _may_begin_stop(text: str, end: int, stops: tuple[str, ...]) -> bool:
    """Whether a stop string could begin before `end` and go on in what follows `text`."""
    return any(stop.startswith(text[at:]) for stop in stops for at in range(max(0, len(text) - len(stop) + 1), end))
