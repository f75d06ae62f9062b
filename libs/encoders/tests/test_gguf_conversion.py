"""The converter on a tiny made-up GGUF file, and the folder it made of the real small model."""

# ruff: noqa: PLC0415 - torch takes seconds to import, which runs that deselect these tests should not pay
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFWriter
from numpy.typing import NDArray

from groundswell.encoders.catalogue import catalogue
from groundswell.encoders.errors import ConversionFailed
from groundswell.encoders.folders import STAGING
from groundswell.encoders.progress import SilentProgress
from groundswell.encoders.store import pull

pytestmark = pytest.mark.models

HIDDEN, FEED_FORWARD, HEADS = 32, 48, 2
TOKENS = ["<|end|>", *"abcdefgh", "ab", "cd"]
MERGES = ["a b", "c d"]
TEMPLATE = "{{ messages[0].content }}"

Matrix = NDArray[np.float32]


def random_matrix(seed: int, *shape: int) -> Matrix:
    return np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32)


def layer_shapes() -> dict[str, tuple[int, ...]]:
    attention = {f"attn_{part}": (HIDDEN, HIDDEN) for part in ("q", "k", "v", "output")}
    norms: dict[str, tuple[int, ...]] = {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
    feed_forward = {
        "ffn_gate": (FEED_FORWARD, HIDDEN),
        "ffn_up": (FEED_FORWARD, HIDDEN),
        "ffn_down": (HIDDEN, FEED_FORWARD),
    }
    return {f"blk.0.{name}.weight": shape for name, shape in {**attention, **norms, **feed_forward}.items()}


def write_gguf(path: Path, *, embedding: Matrix, output: Matrix) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", random_matrix(3, HIDDEN))
    for seed, (name, shape) in enumerate(layer_shapes().items(), start=4):
        writer.add_tensor(name, random_matrix(seed, *shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def converted(folder: Path, *, embedding: Matrix, output: Matrix) -> Path:
    write_gguf(folder / "tiny.gguf", embedding=embedding, output=output)
    target = folder / "tiny"
    command = [sys.executable, "-m", "groundswell.encoders.convert", str(folder / "tiny.gguf"), str(target)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return target


EMBEDDING = random_matrix(1, len(TOKENS), HIDDEN)
FINER_COPY = (EMBEDDING + random_matrix(2, *EMBEDDING.shape) / 100).astype(np.float32)
OTHER = random_matrix(2, *EMBEDDING.shape)


@pytest.fixture(scope="module")
def tied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tmp_path_factory.mktemp("tied"), embedding=EMBEDDING, output=FINER_COPY)


def matrices(folder: Path) -> tuple[Matrix, Matrix]:
    """Embedding and output as a loaded model has them."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.get_input_embeddings().weight.detach().numpy(), model.lm_head.weight.detach().numpy()


def test_a_matrix_stored_twice_becomes_one_tied_matrix_in_the_finer_copy(tied_folder: Path) -> None:
    assert json.loads((tied_folder / "config.json").read_bytes())["tie_word_embeddings"] is True
    embedding, output = matrices(tied_folder)
    assert np.shares_memory(embedding, output)
    assert np.allclose(output, FINER_COPY, rtol=0.01, atol=1e-4)


def test_matrices_that_differ_stay_apart(tmp_path: Path) -> None:
    embedding, output = matrices(converted(tmp_path, embedding=EMBEDDING, output=OTHER))
    assert np.allclose(embedding, EMBEDDING, rtol=0.01, atol=1e-4)
    assert np.allclose(output, OTHER, rtol=0.01, atol=1e-4)


def test_tokenizer_and_chat_template_come_along(tied_folder: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tied_folder)
    assert tokenizer.decode(tokenizer("abcd")["input_ids"], skip_special_tokens=True) == "abcd"
    assert tokenizer.chat_template == TEMPLATE


def test_every_file_is_readable_by_the_services(tied_folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in tied_folder.iterdir()} == {0o644}


def test_a_broken_weight_file_is_said_in_one_line(tmp_path: Path) -> None:
    broken = b"GGUF, but not really"
    spec = catalogue()["smollm2-135m"]
    spec = spec.model_copy(update={"weights_sha256": hashlib.sha256(broken).hexdigest(), "folder_bytes": 1})
    assembled = tmp_path / STAGING / spec.name / "assembled"
    assembled.mkdir(parents=True)
    (assembled / str(spec.weights)).write_bytes(broken)
    with pytest.raises(ConversionFailed, match=r"^converting smollm2-135m failed: [^\n]+$"):
        pull(spec.name, models_dir=tmp_path, progress=SilentProgress(), models={spec.name: spec})
    assert not (tmp_path / spec.name).exists()


def test_weights_are_bfloat16(smollm2_folder: Path) -> None:
    import torch
    from safetensors import safe_open

    with safe_open(smollm2_folder / "model.safetensors", framework="pt") as weights:
        kinds = {weights.get_tensor(name).dtype for name in weights.keys()}  # noqa: SIM118 - no mapping
    assert kinds == {torch.bfloat16}


def test_the_small_model_answers_and_stops_by_itself(smollm2_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(smollm2_folder)
    model: Any = AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype=torch.bfloat16)
    question = [{"role": "user", "content": "What is the capital of France? Answer with one word."}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(written)
    assert written[-1].item() == tokenizer.eos_token_id
