"""Exact token counts and offsets by the embedder's tokenizer. No torch: ingest cuts chunks with it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer

LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class TokenCounter:
    """Counts a text's own tokens: never truncated, never padded, without the special tokens a model adds.

    A special token's name inside a text (such as "[SEP]") is ordinary text. Safe to use from several threads.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Takes the tokenizer over and changes its settings."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open the tokenizer of a model folder (`store.locate`)."""
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token, in code points of `text`, in order."""
        encoding = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        offsets: list[tuple[int, int]] = encoding.offsets
        return offsets

    def count(self, text: str) -> int:
        """Equal to `len(offsets(text))`, faster."""
        return self.count_many([text])[0]

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text, in order."""
        encodings = self._tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [len(encoding) for encoding in encodings]


def encodable(text: str) -> str:
    """Replace each lone surrogate, which no tokenizer takes, by U+FFFD; lengths and offsets stay."""
    return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)
