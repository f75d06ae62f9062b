"""Continuous batching: jobs wait, are read in pieces, write together, and leave; one step at a time. Knows no torch."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from groundswell.common.contracts.generation import ChatMessage, FinishReason, Sampling
from groundswell.generator.adapters.worker_messages import KeyedEvent
from groundswell.generator.domain.admission import most_urgent, urgency
from groundswell.generator.domain.jobs import (
    AttemptKey,
    Cancelled,
    EngineEvent,
    Failed,
    Finished,
    GenerationJob,
    Refused,
    Started,
    Tokens,
)
from groundswell.generator.domain.token_text import TokenText

Choose = Callable[[Sampling, int, int], int]
"""The next token of one row, by sampling, seed and position in the answer."""


class PromptTokens(Protocol):
    end_ids: frozenset[int]

    def encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The ids of the prompt. Raises ValueError, fit for the client, if the model cannot take these messages."""

    def decode(self, token_ids: Sequence[int]) -> str: ...


class ModelRows(Protocol):
    """The rows that write, in the order in which they joined."""

    def prefill(self, token_ids: Sequence[int], before: Any) -> tuple[Any, Choose]:
        """Read on after `before` (None: from the start); what was read so far, and the choice of the token after it."""

    def join(self, read: Any) -> None: ...

    def keep(self, rows: Sequence[int]) -> None: ...

    def decode(self, token_ids: Sequence[int]) -> list[Choose]:
        """Append one token to each row; the choice of the one after it."""


@dataclass(eq=False)
class _Row:
    job: GenerationJob
    prompt_tokens: int
    limit: int
    unread: list[int]
    text: TokenText
    seed: int
    written: int
    read: Any = None
    last: int = 0

    @property
    def urgency(self) -> tuple[int, float]:
        return urgency(self.job.tier, self.job.deadline)


@dataclass
class Batch:
    """The jobs of one model. At most `slots` of them have begun; a step reads at most `prefill_tokens` of prompts.

    One thread submits, cancels and steps.
    """

    tokens: PromptTokens
    rows: ModelRows
    slots: int
    context_tokens: int
    prefill_tokens: int
    _reading: list[_Row] = field(default_factory=list)
    _writing: list[_Row] = field(default_factory=list)
    _events: list[KeyedEvent] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return bool(self._reading or self._writing or self._events)

    def submit(self, job: GenerationJob) -> None:
        try:
            prompt = self.tokens.encode(job.messages)
        except ValueError as error:
            self._tell(job.key, Refused(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - it must cost neither the others nor, uncounted, the engine
            self._tell(job.key, Started(0))
            self._tell(job.key, Failed(f"the prompt could not be read: {type(error).__name__}"))
            return
        length = len(prompt) + len(job.prefix_token_ids)
        if length >= self.context_tokens:
            reason = f"the prompt has {length} tokens, but the model reads and writes {self.context_tokens} in all"
            self._tell(job.key, Refused(reason))
            return
        self._tell(job.key, Started(len(prompt)))
        row = self._row(job, prompt)
        if row.written < row.limit:
            self._reading.append(row)
        else:
            self._end(row, FinishReason.LENGTH)

    def cancel(self, key: AttemptKey) -> None:
        for row in [row for row in (*self._reading, *self._writing) if row.job.key == key]:
            self._tell(key, Cancelled(row.written))
            self._reading = [other for other in self._reading if other is not row]
            self._let_go([row])

    def step(self) -> tuple[KeyedEvent, ...]:
        """Write a token in every row that is past its prompt, read on in the most urgent prompts; what came of it.

        What submits and cancels led to is told at once, before a step's work: an admission waits for nobody's prefill.
        """
        if not self._events:
            self._write()
            self._read()
        events, self._events = tuple(self._events), []
        return events

    def _row(self, job: GenerationJob, prompt: list[int]) -> _Row:
        prefix = job.prefix_token_ids
        return _Row(
            job=job,
            prompt_tokens=len(prompt),
            limit=min(job.max_tokens, self.context_tokens - len(prompt)),
            unread=[*prompt, *prefix],
            text=TokenText(self.tokens.decode, job.sampling.stop, prefix),
            seed=secrets.randbits(31) if job.sampling.seed is None else job.sampling.seed,
            written=len(prefix),
        )

    def _read(self) -> None:
        room = self.prefill_tokens
        while room > 0 and (row := self._next_to_read()):
            piece = row.unread[:room]
            row.read, choose = self.rows.prefill(piece, row.read)
            del row.unread[: len(piece)]
            room -= len(piece)
            if not row.unread:
                self._reading.remove(row)
                self._begin_writing(row, choose)

    def _next_to_read(self) -> _Row | None:
        begun = [row for row in self._reading if row.read is not None]
        has_slot = len(begun) + len(self._writing) < self.slots
        return most_urgent(self._reading if has_slot else begun, lambda row: row.urgency)

    def _begin_writing(self, row: _Row, choose: Choose) -> None:
        if self._goes_on(row, choose):
            self.rows.join(row.read)
            self._writing.append(row)
        row.read = None

    def _write(self) -> None:
        if not self._writing:
            return
        choices = self.rows.decode([row.last for row in self._writing])
        self._let_go(
            [row for row, choose in zip(self._writing, choices, strict=True) if not self._goes_on(row, choose)]
        )

    def _goes_on(self, row: _Row, choose: Choose) -> bool:
        """Take the row's next token; whether the answer goes on after it."""
        token_id = choose(row.job.sampling, row.seed, row.written)
        if token_id in self.tokens.end_ids:
            return self._end(row, FinishReason.STOP)
        row.written, row.last = row.written + 1, token_id
        released = row.text.push(token_id)
        self._tell_tokens(row, released.token_ids, released.text)
        if released.stopped:
            return self._end(row, FinishReason.STOP)
        return row.written < row.limit or self._end(row, FinishReason.LENGTH)

    def _end(self, row: _Row, reason: FinishReason) -> bool:
        rest = row.text.flush()
        self._tell_tokens(row, rest.token_ids, rest.text)
        self._tell(row.job.key, Finished(reason, row.prompt_tokens, row.written))
        return False

    def _let_go(self, gone: Sequence[_Row]) -> None:
        kept = [at for at, row in enumerate(self._writing) if row not in gone]
        if len(kept) < len(self._writing):
            self.rows.keep(kept)
            self._writing = [self._writing[at] for at in kept]

    def _tell_tokens(self, row: _Row, token_ids: tuple[int, ...], text: str) -> None:
        if token_ids or text:
            self._tell(row.job.key, Tokens(token_ids, text))

    def _tell(self, key: AttemptKey, event: EngineEvent) -> None:
        self._events.append(KeyedEvent(key, event))
