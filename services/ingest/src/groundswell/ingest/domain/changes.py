"""What a new text of a document changes: which of its chunks must be embedded, and in which batches."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol, TypeVar


class Hashed(Protocol):
    @property
    def content_hash(self) -> str: ...


class Embeddable(Protocol):
    @property
    def text(self) -> str: ...


H = TypeVar("H", bound=Hashed)
E = TypeVar("E", bound=Embeddable)


def distinct(chunks: Iterable[H]) -> tuple[H, ...]:
    """Each content hash once, with the first chunk that has it, in the order of the document."""
    first: dict[str, H] = {}
    for chunk in chunks:
        first.setdefault(chunk.content_hash, chunk)
    return tuple(first.values())


def to_embed(chunks: Iterable[H], held: Collection[str]) -> tuple[H, ...]:
    """The chunks, each hash once, that no committed manifest of the document holds."""
    return tuple(chunk for chunk in distinct(chunks) if chunk.content_hash not in held)


def batches(chunks: Iterable[E], *, most_chunks: int, most_bytes: int) -> Iterator[tuple[E, ...]]:
    """Runs of chunks that keep to both limits; a chunk larger than `most_bytes` (of JSON) is a batch of its own."""
    batch: list[E] = []
    room = most_bytes
    for chunk in chunks:
        size = len(json.dumps(chunk.text, ensure_ascii=False).encode())
        if batch and (len(batch) == most_chunks or size > room):
            yield tuple(batch)
            batch, room = [], most_bytes
        batch.append(chunk)
        room -= size
    if batch:
        yield tuple(batch)
