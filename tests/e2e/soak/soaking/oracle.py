"""Compares what clients were told with what the platform kept, and names every promise that was broken. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

OK, UNAVAILABLE = 200, 503
COMPLETED, EXPIRED, CANCELLED = "completed", "expired", "cancelled"


@dataclass(kw_only=True)
class Try:
    """What one connection brought, filled in as it comes. Times are monotonic seconds."""

    began: float
    over: float = 0.0
    status: int = 0
    """0: none came."""
    request_id: str | None = None
    text: str = ""
    endings: list[str] = field(default_factory=list)
    """The reason to finish, or the code of the error, of each terminal answer."""
    broken: str | None = None
    """How the connection ended before the answer did."""
    retry_after: bool = False
    left: bool = False
    """The client closed the connection itself."""

    @property
    def told(self) -> bool:
        """The client knows how its request ended."""
        return self.request_id is not None and bool(self.endings)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A client's question with all its tries; more than one only under an Idempotency-Key (`keyed`)."""

    number: int
    question: str
    echoed: bool
    """The model repeats the question."""
    may_expire: bool
    keyed: bool
    tries: Sequence[Try]

    @property
    def ids(self) -> set[str]:
        return {each.request_id for each in self.tries if each.request_id}

    @property
    def left(self) -> bool:
        return any(each.left for each in self.tries)


@dataclass(frozen=True)
class Kept:
    """A request as `GET /v1/requests/{id}` shows it. `ending` in the words of `Try.endings`; None while it runs."""

    state: str
    ending: str | None
    text: str
    final_events: int = 1
    """On its answer stream; one that was published again counts once."""


@dataclass(frozen=True)
class Disturbance:
    """From when to when the platform was not whole, in monotonic seconds, and what a client may notice of that."""

    began: float
    ended: float
    breaks_connections: bool
    turns_away: bool = True
    """With 503 and Retry-After."""

    def touches(self, attempt: Try) -> bool:
        return attempt.began <= self.ended and attempt.over >= self.began


def violations(asked: Sequence[Asked], kept: Mapping[str, Kept], disturbance: Disturbance) -> list[str]:
    """One line for each promise that was broken; `kept` holds the requests whose id a client saw."""
    found = [f"request {each.number}: {wrong}" for each in asked for wrong in _wrong_with(each, kept, disturbance)]
    owners = Counter(request_id for each in asked for request_id in each.ids)
    return found + [f"{request_id} was given to {count} clients" for request_id, count in owners.items() if count > 1]


def _wrong_with(asked: Asked, kept: Mapping[str, Kept], disturbance: Disturbance) -> Iterator[str]:
    for attempt in asked.tries:
        yield from _wrong_connection(attempt, disturbance)
    if len(asked.ids) > 1:
        yield f"one key, but requests {sorted(asked.ids)}"
    if asked.keyed and not asked.tries[-1].told:
        yield f"asked {len(asked.tries)} times, never told an end"
    for request_id in asked.ids:
        if request_id not in kept:
            yield f"{request_id} was accepted and is not known"
            continue
        yield from (f"{request_id} {wrong}" for wrong in _wrong_row(asked, kept[request_id]))
        tries = [each for each in asked.tries if each.request_id == request_id]
        yield from (f"{request_id} {wrong}" for each in tries for wrong in _contradictions(each, kept[request_id]))


def _wrong_connection(attempt: Try, disturbance: Disturbance) -> Iterator[str]:
    touched = disturbance.touches(attempt)
    if attempt.broken and not (touched and disturbance.breaks_connections):
        yield f"the connection broke: {attempt.broken}"
    if attempt.status == UNAVAILABLE and not (touched and disturbance.turns_away and attempt.retry_after):
        yield f"503 {'though nothing was away' if attempt.retry_after else 'without Retry-After'}"
    elif attempt.status not in (0, UNAVAILABLE) and attempt.request_id is None:
        yield f"turned away with {attempt.status}"
    if len(attempt.endings) > 1:
        yield f"told {len(attempt.endings)} ends: {attempt.endings}"
    if attempt.request_id and not (attempt.endings or attempt.broken or attempt.left):
        yield "the answer came without an end"


def _wrong_row(asked: Asked, row: Kept) -> Iterator[str]:
    allowed = {COMPLETED} | ({EXPIRED} if asked.may_expire else set()) | ({CANCELLED} if asked.left else set())
    if row.state not in allowed:
        yield f"is {row.state}, not {' or '.join(sorted(allowed))}"
    if row.final_events != 1:
        yield f"has {row.final_events} final events"
    if asked.echoed and (
        row.text != asked.question if row.state == COMPLETED else not asked.question.startswith(row.text)
    ):
        yield f"holds no part of the one text: {row.text!r} of {asked.question!r}"


def _contradictions(attempt: Try, row: Kept) -> Iterator[str]:
    if attempt.endings and attempt.endings[0] != row.ending:
        yield f"was told {attempt.endings[0]}, the row says {row.ending}"
    # An error in place of an answer tells no text; who was told an end in a stream has all of it.
    if attempt.status == OK and attempt.endings and attempt.text != row.text:
        yield f"was told {attempt.text!r}, the row holds {row.text!r}"
    elif not row.text.startswith(attempt.text):
        yield f"was sent {attempt.text!r}, which does not begin {row.text!r}"
