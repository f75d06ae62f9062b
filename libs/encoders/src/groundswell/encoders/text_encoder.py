"""Texts to unit vectors: a transformer, mean pooling, normalisation (Sentence-BERT, Reimers and Gurevych 2019)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from groundswell.encoders.batching import plan_batches
from groundswell.encoders.threads import set_threads
from groundswell.encoders.tokens import encodable

CPU_BUDGET_TOKENS = 2048
"""Small batches stay in the cache of a CPU: measured 1.4 times faster than 8192. A GPU wants it the other way round."""
GPU_BUDGET_TOKENS = 65536
BFLOAT16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "sve_bf16")


class TextEncoder:
    """An embedding model. One call at a time: for an event loop or several threads take AsyncTextEncoder.

    `dimension` is the length of a vector; `max_tokens` is where a text is cut, special tokens included.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Tokenizer, *, max_tokens: int, budget_tokens: int) -> None:
        tokenizer.enable_truncation(max_tokens)
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.dimension: int = model.config.hidden_size
        self.max_tokens = max_tokens
        self._model = model
        self._tokenizer = tokenizer
        self._budget_tokens = budget_tokens

    @classmethod
    def load(cls, folder: Path, *, threads: int, dtype: torch.dtype | None = None) -> Self:
        """Open a model folder (`store.locate`); `dtype` None takes the fastest that keeps the vectors' directions."""
        set_threads(threads)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = AutoModel.from_pretrained(folder, dtype=dtype or fastest_dtype(device), local_files_only=True)
        return cls(
            model.to(device).eval(),
            Tokenizer.from_file(str(folder / "tokenizer.json")),
            max_tokens=json.loads((folder / "sentence_bert_config.json").read_bytes())["max_seq_length"],
            budget_tokens=CPU_BUDGET_TOKENS if device.type == "cpu" else GPU_BUDGET_TOKENS,
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors [len(texts), dimension] of length 1, in the order of `texts`."""
        encodings = self._tokenizer.encode_batch_fast([encodable(text) for text in texts])
        token_ids: list[list[int]] = [encoding.ids for encoding in encodings]
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in plan_batches([len(ids) for ids in token_ids], budget_tokens=self._budget_tokens):
            vectors[batch] = self._encode_batch([token_ids[index] for index in batch])
        return vectors

    @torch.inference_mode()
    def _encode_batch(self, token_ids: list[list[int]]) -> NDArray[np.float32]:
        ids, mask = _padded(token_ids)
        device = self._model.device
        ids, mask = ids.to(device), mask.to(device)
        states: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        sums = (states * mask.unsqueeze(-1)).sum(dim=1)
        # Normalising makes the mean's divisor, the number of tokens, irrelevant.
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(sums, dim=1).cpu().numpy()
        return vectors


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor computes in it (2.3 times faster, cosine to float32 above .999), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(capabilities.get(name) for name in BFLOAT16_CAPABILITIES) else torch.float32


def _padded(token_ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, [texts, longest text]. The mask hides the padding, so its id does not matter."""
    lengths = torch.tensor([len(ids) for ids in token_ids])
    longest = int(lengths.max())
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids in token_ids])
    return padded, (torch.arange(longest) < lengths.unsqueeze(1)).long()
