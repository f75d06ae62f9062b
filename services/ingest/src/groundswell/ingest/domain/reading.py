"""From the bytes of a file to what is stored of it."""

from dataclasses import dataclass

from groundswell.ingest.domain.chunking import Chunk, cut
from groundswell.ingest.domain.decoding import FileType, Rejection, decode
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.structure import outline
from groundswell.ingest.domain.tokens import TokenOffsets


@dataclass(frozen=True, slots=True)
class Reading:
    """A readable file: the chunks' cores partition `text`."""

    text: str
    file_type: FileType
    title: str
    chunks: tuple[Chunk, ...]


def read(
    name: str, content: bytes, *, limit_bytes: int, token_offsets: TokenOffsets, chunk_limits: ChunkLimits
) -> Reading | Rejection:
    """Decode, outline and cut the file called `name`."""
    decoded = decode(name, content, limit_bytes=limit_bytes)
    if isinstance(decoded, Rejection):
        return decoded
    outlined = outline(decoded.text, decoded.file_type, name)
    chunks = cut(decoded.text, outlined.blocks, token_offsets, chunk_limits)
    return Reading(decoded.text, decoded.file_type, outlined.title, chunks)
