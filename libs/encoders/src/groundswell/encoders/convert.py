"""Turns a GGUF file into a plain safetensors folder, once: `python -m groundswell.encoders.convert MODEL.gguf FOLDER`.

Loading GGUF directly costs tens of seconds at every start; the folder written here opens in about two.
"""

import argparse
import sys
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.utils import logging

COSINE_OF_SAME = 0.99
"""Two quantised copies of one matrix are closer than this; matrices that were trained apart are near 0."""


SAMPLED = 97
"""Every how many rows are compared."""


def convert(source: Path, target: Path) -> None:
    """Write tokenizer, bfloat16 weights and configuration of the GGUF file `source` into the folder `target`."""
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    _forget_quantisation(model)
    _tie_copied_embedding(model)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)  # weights are written for the owner alone, the other files are not


def _forget_quantisation(model: PreTrainedModel) -> None:
    # The weights are dense by now, but transformers refuses to save whatever still knows its quantizer.
    vars(model)["hf_quantizer"] = None
    vars(model.config).pop("quantization_config", None)


def _tie_copied_embedding(model: PreTrainedModel) -> None:
    """GGUF may hold one tied matrix twice, in two precisions: share the output's copy, the finer of the two."""
    embedding, output = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if output is None or not _are_copies(cast("Tensor", embedding.weight), output.weight):
        return
    embedding.weight = output.weight
    model.config.tie_word_embeddings = True
    model.tie_weights()


def _are_copies(embedding: Tensor, output: Tensor) -> bool:
    if embedding is output or embedding.shape != output.shape:
        return False
    cosine = torch.nn.functional.cosine_similarity(embedding[::SAMPLED].float(), output[::SAMPLED].float())
    return cosine.mean().item() >= COSINE_OF_SAME


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m groundswell.encoders.convert", description=__doc__)
    parser.add_argument("source", type=Path, help="the GGUF file")
    parser.add_argument("target", type=Path, help="the folder to write")
    arguments = parser.parse_args()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    convert(arguments.source, arguments.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
