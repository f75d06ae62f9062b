"""The rows of a tiny model with random weights: the same arithmetic as the real ones, in milliseconds."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from groundswell.common.contracts.generation import Sampling
from groundswell.generator.adapters.torch_rows import TorchRows, choose

GREEDY = Sampling()
PROMPTS = st.lists(st.lists(st.integers(3, 63), min_size=1, max_size=12), min_size=1, max_size=4)


@cache
def tiny_model() -> PreTrainedModel:
    torch.manual_seed(7)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.4,
    )
    model = LlamaForCausalLM(config)
    model.train(mode=False)
    return model


@cache
def generated(prompt: tuple[int, ...], count: int) -> list[int]:
    model = tiny_model()
    model.generation_config.eos_token_id = None
    tokens: torch.Tensor = model.generate(torch.tensor([prompt]), max_new_tokens=count, do_sample=False)  # type: ignore[operator]
    answer: list[int] = tokens[0, len(prompt) :].tolist()
    return answer


class Decoding:
    """Rows with their answers so far."""

    def __init__(self) -> None:
        self.rows = TorchRows(tiny_model())
        self.answers: list[list[int]] = []

    def join(self, prompt: list[int], piece: int) -> list[int]:
        read = None
        for start in range(0, len(prompt), piece):
            read, pick = self.rows.prefill(prompt[start : start + piece], read)
        assert read is not None
        self.rows.join(read)
        self.answers.append([pick(GREEDY, 0, 0)])
        return self.answers[-1]

    def step(self) -> None:
        picks = self.rows.decode([answer[-1] for answer in self.answers])
        for answer, pick in zip(self.answers, picks, strict=True):
            answer.append(pick(GREEDY, 0, len(answer)))

    def leave(self, row: int) -> None:
        kept = [at for at in range(len(self.answers)) if at != row]
        self.rows.keep(kept)
        self.answers = [self.answers[at] for at in kept]


@given(PROMPTS, st.integers(1, 5), st.data())
@settings(max_examples=15, deadline=None)
@torch.inference_mode()
def test_rows_that_join_and_leave_at_any_step_write_what_generate_writes(
    prompts: list[list[int]], piece: int, data: st.DataObject
) -> None:
    decoding, all_answers = Decoding(), []
    for prompt in prompts:
        all_answers.append(decoding.join(prompt, piece))
        for _ in range(data.draw(st.integers(1, 4))):
            decoding.step()
        if len(decoding.answers) > 1 and data.draw(st.booleans()):
            decoding.leave(data.draw(st.integers(0, len(decoding.answers) - 1)))
    for prompt, answer in zip(prompts, all_answers, strict=True):
        assert answer == generated(tuple(prompt), len(answer))


@torch.inference_mode()
def test_columns_of_rows_that_left_are_given_back() -> None:
    decoding = Decoding()
    for prompt in ([5] * 30, [6] * 4):
        decoding.join(prompt, 8)
    decoding.leave(0)
    assert decoding.rows.width == 4
    decoding.leave(0)
    assert decoding.rows.width == 0


LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0])


def test_temperature_zero_takes_the_likeliest() -> None:
    assert choose(LOGITS, Sampling(temperature=0), 1, 1) == 1


def test_a_small_nucleus_leaves_only_the_likeliest() -> None:
    assert {choose(LOGITS, Sampling(temperature=1, top_p=0.5), seed, 0) for seed in range(50)} == {1}


def test_a_larger_nucleus_leaves_the_unlikely_out() -> None:
    assert {choose(LOGITS, Sampling(temperature=1, top_p=0.8), seed, 0) for seed in range(200)} == {1, 2}


def test_the_same_seed_and_position_choose_the_same() -> None:
    warm = Sampling(temperature=2)
    assert len({choose(LOGITS, warm, 5, 3) for _ in range(20)}) == 1
    assert len({choose(LOGITS, warm, 5, position) for position in range(50)}) > 1


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_tokens_come_as_often_as_the_softmax_says(temperature: float) -> None:
    chosen = [choose(LOGITS, Sampling(temperature=temperature), seed, 0) for seed in range(4000)]
    shares = torch.bincount(torch.tensor(chosen), minlength=4) / len(chosen)
    assert torch.allclose(shares, (LOGITS / temperature).softmax(-1), atol=0.03)
