"""The batch: rows of one left-padded key-value cache, which join and leave between steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from groundswell.common.contracts.generation import Sampling
from groundswell.generator.adapters.batch import Choose


@dataclass(frozen=True)
class Prefilled:
    """The cache of one prompt, `length` tokens of it."""

    cache: DynamicCache
    length: int


class TorchRows:
    """Sequences that decode together; row i of the cache is row i of `lengths`.

    The cache of a shorter row is padded on the left, so that all rows write their next token into the same column.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._cache = DynamicCache()
        self.lengths: list[int] = []

    @property
    def width(self) -> int:
        """Columns of the cache: the longest row's tokens."""
        return int(self._cache.get_seq_length())

    def prefill(self, token_ids: Sequence[int], before: Prefilled | None) -> tuple[Prefilled, Choose]:
        """Read `token_ids` after `before`; the cache so far and the choice after the last token."""
        before = before or Prefilled(DynamicCache(), 0)
        inputs = torch.tensor([token_ids], device=self._model.device)
        output = self._model(input_ids=inputs, cache=before.cache, use_cache=True, logits_to_keep=1)
        return Prefilled(output.cache, before.length + len(token_ids)), partial(choose, output.logits[0, -1])

    def join(self, row: Prefilled) -> None:
        """Append a row; it decodes from the next step on."""
        width = max([*self.lengths, row.length])
        caches = [self._cache, row.cache] if self.lengths else [row.cache]
        self._cache = _stacked(caches, width)
        self.lengths.append(row.length)

    def keep(self, rows: Sequence[int]) -> None:
        """Let all other rows go, and the columns that only they used."""
        if len(rows) == len(self.lengths):
            return
        self.lengths = [self.lengths[row] for row in rows]
        width, kept = max(self.lengths, default=0), torch.tensor(rows, dtype=torch.long, device=self._model.device)
        layers = _states(self._cache) if rows else []
        self._cache = DynamicCache([(keys[kept, :, -width:], values[kept, :, -width:]) for keys, values in layers])

    def decode(self, token_ids: Sequence[int]) -> list[Choose]:
        """Append one token to each row; the choice of the one after it."""
        lengths = torch.tensor(self.lengths, device=self._model.device)[:, None]
        columns = torch.arange(max(self.lengths) + 1, device=self._model.device)
        output = self._model(
            input_ids=torch.tensor(token_ids, device=self._model.device)[:, None],
            attention_mask=(columns >= columns[-1] - lengths).long(),
            position_ids=lengths,
            cache=self._cache,
            use_cache=True,
        )
        self._cache = output.cache
        self.lengths = [length + 1 for length in self.lengths]
        return [partial(choose, logits) for logits in output.logits[:, -1]]


def choose(logits: Tensor, sampling: Sampling, seed: int, position: int) -> int:
    """The next token out of logits [vocabulary].

    The choice depends on seed and position alone: an attempt that goes on elsewhere chooses as this one would have.
    """
    if sampling.temperature == 0:
        return int(logits.float().argmax())
    probabilities, order = (logits.float() / sampling.temperature).softmax(-1).sort(descending=True)
    before = probabilities.cumsum(-1) - probabilities
    nucleus = probabilities.masked_fill(before >= sampling.top_p, 0.0).cpu()
    chance = torch.Generator().manual_seed((seed * 1_000_003 + position) % 2**63)
    return int(order[torch.multinomial(nucleus, 1, generator=chance)])


def _stacked(caches: Sequence[DynamicCache], width: int) -> DynamicCache:
    same_layers = zip(*map(_states, caches), strict=True)
    return DynamicCache([tuple(_rows_of(states, width) for states in zip(*same, strict=True)) for same in same_layers])


def _rows_of(states: Sequence[Tensor], width: int) -> Tensor:
    return torch.cat([torch.nn.functional.pad(rows, (0, 0, width - rows.shape[-2], 0)) for rows in states])


def _states(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer, each [rows, heads, length, width of a head]."""
    return [(keys, values) for keys, values, _ in cache]
