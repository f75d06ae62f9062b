"""What the embedder needs from outside."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from groundswell.common.ids import TeamId
from groundswell.embedder.domain.chunk_objects import ChunkObject


class Encoder(Protocol):
    """Texts to vectors, off the event loop."""

    @property
    def model(self) -> str:
        """The name by which commands ask for this encoder."""

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors [len(texts), dimension] of length 1, in the order of `texts`."""


class ChunkIndex(Protocol):
    """The index of one generation."""

    async def store(self, team: TeamId, objects: Sequence[ChunkObject]) -> None:
        """Write the objects under the tenant `team`, over what has their ids, and read them back.

        Raises ChunksNotStored if one is refused or not there afterwards, Unavailable while the index is away.
        """


class ChunksNotStored(Exception):
    """The index did not keep what it was given. Carries numbers, never a text."""

    def __init__(self, missing: int, given: int) -> None:
        super().__init__(f"{missing} of {given} chunks are not in the index")
