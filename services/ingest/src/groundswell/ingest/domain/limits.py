"""How large chunks may be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Tokens are the embedder's, special tokens left out; characters are code points.

    A core ends near `core_tokens`; overlap and core together never exceed `limit_tokens`. Characters bound what tokens
    cannot: a word of any length may be one unknown token.
    """

    limit_tokens: int = 254
    core_tokens: int = 190
    small_tokens: int = 32
    overlap_tokens: int = 40
    core_characters: int = 3_000
    overlap_characters: int = 600
