"""The real embedder against the plain way: one text at a time, float32, no batches."""

# ruff: noqa: PLC0415 - torch takes seconds to import, which runs that deselect these tests should not pay
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from groundswell.encoders.catalogue import catalogue

if TYPE_CHECKING:
    from groundswell.encoders.text_encoder import TextEncoder

pytestmark = pytest.mark.models

SENTENCE = "the tide rises and falls while a broker keeps every message in order for its readers Überlauf 日本 🌊"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    choose = random.Random(7)
    return [" ".join(choose.choices(SENTENCE.split(), k=choose.randint(1, 180))) for _ in range(40)]


@pytest.fixture(scope="module")
def encoder(minilm_folder: Path) -> "TextEncoder":
    from groundswell.encoders.text_encoder import TextEncoder

    return TextEncoder.load(minilm_folder, threads=1)


@pytest.fixture(scope="module")
def reference(minilm_folder: Path, texts: list[str]) -> NDArray[np.float32]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm_folder)
    model = AutoModel.from_pretrained(minilm_folder, dtype=torch.float32)
    rows = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            mean = model(**inputs).last_hidden_state.mean(dim=1)
            rows.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    vectors: NDArray[np.float32] = np.concatenate(rows)
    return vectors


def test_vectors_are_unit_float32_of_the_catalogues_dimension(encoder: "TextEncoder", texts: list[str]) -> None:
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), catalogue()["minilm"].dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_limit_is_the_catalogues(encoder: "TextEncoder") -> None:
    assert encoder.max_tokens == catalogue()["minilm"].context_tokens


def test_every_vector_is_that_of_the_plain_way_and_in_its_place(
    encoder: "TextEncoder", texts: list[str], reference: NDArray[np.float32]
) -> None:
    assert (encoder.encode(texts) * reference).sum(axis=1).min() >= 0.999


def test_float32_batches_equal_the_plain_way_closely(
    minilm_folder: Path, texts: list[str], reference: NDArray[np.float32]
) -> None:
    import torch

    from groundswell.encoders.text_encoder import TextEncoder

    exact = TextEncoder.load(minilm_folder, threads=1, dtype=torch.float32)
    assert np.abs(exact.encode(texts) - reference).max() < 1e-5


def test_a_repeated_call_gives_the_same_bytes(encoder: "TextEncoder", texts: list[str]) -> None:
    assert encoder.encode(texts).tobytes() == encoder.encode(texts).tobytes()


def test_text_beyond_the_limit_changes_nothing(encoder: "TextEncoder") -> None:
    long = "wave " * 254
    assert np.array_equal(encoder.encode([long]), encoder.encode([long + "unlike words after the limit"]))
    assert not np.array_equal(encoder.encode(["wave " * 253]), encoder.encode(["wave " * 253 + "broker"]))


def test_no_texts_are_no_rows(encoder: "TextEncoder") -> None:
    assert encoder.encode([]).shape == (0, encoder.dimension)


@pytest.mark.parametrize("text", ["", " ", "\x00", "[SEP]", "\ud800", "🌊" * 3000])
def test_odd_texts_get_a_finite_unit_vector(encoder: "TextEncoder", text: str) -> None:
    (vector,) = encoder.encode([text])
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_near_meanings_are_nearer_than_far_ones(encoder: "TextEncoder") -> None:
    question, near, far = encoder.encode(
        ["How do I reset my password?", "Resetting a forgotten password", "The recipe needs three eggs"]
    )
    assert question @ near > 2 * (question @ far)


def test_threads_are_limited_before_the_model_is_loaded(encoder: "TextEncoder") -> None:
    import torch

    assert torch.get_num_threads() == 1


def test_the_number_format_follows_the_processor() -> None:
    import torch

    from groundswell.encoders.text_encoder import fastest_dtype

    has_bfloat16 = torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")
    expected = torch.bfloat16 if has_bfloat16 else torch.float32
    assert fastest_dtype(torch.device("cpu")) is expected
