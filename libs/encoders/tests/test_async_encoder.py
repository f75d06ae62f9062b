import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groundswell.encoders.async_encoder import AsyncTextEncoder

PATIENCE_S = 10


class GatedEncoder:
    """Encodes a text as its length, each call only after `gate` was opened."""

    dimension = 1
    max_tokens = 16

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.calls: list[list[str]] = []
        self.threads: set[str] = set()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.threads.add(threading.current_thread().name)
        self.calls.append(list(texts))
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        return np.array([[len(text)] for text in texts], dtype=np.float32)


async def test_a_started_encoder_is_warm_and_knows_its_shape() -> None:
    inner = GatedEncoder()
    async with await AsyncTextEncoder.start(lambda: inner) as encoder:
        assert len(inner.calls) == 1
        assert (encoder.dimension, encoder.max_tokens) == (1, 16)


async def test_the_loop_runs_on_while_the_model_works() -> None:
    inner = GatedEncoder()
    async with await AsyncTextEncoder.start(lambda: inner) as encoder:
        inner.gate.clear()
        inner.begun.clear()
        working = asyncio.create_task(encoder.encode(["wave"]))
        assert await asyncio.to_thread(inner.begun.wait, PATIENCE_S)
        assert not working.done()
        inner.gate.set()
        assert (await working).tolist() == [[4.0]]


async def test_calls_run_one_by_one_in_order_in_one_thread() -> None:
    inner = GatedEncoder()
    async with await AsyncTextEncoder.start(lambda: inner) as encoder:
        vectors = await asyncio.gather(*(encoder.encode(["x" * length]) for length in range(20)))
    assert [vector.item() for vector in vectors] == list(range(20))
    assert [call[0] for call in inner.calls[1:]] == ["x" * length for length in range(20)]
    assert len(inner.threads) == 1


async def test_loading_happens_in_the_model_thread_too() -> None:
    loaded_in: list[str] = []

    def load() -> GatedEncoder:
        loaded_in.append(threading.current_thread().name)
        return GatedEncoder()

    async with await AsyncTextEncoder.start(load):
        assert loaded_in[0].startswith("text-encoder")


async def test_a_cancelled_call_that_waits_is_never_run() -> None:
    inner = GatedEncoder()
    async with await AsyncTextEncoder.start(lambda: inner) as encoder:
        inner.gate.clear()
        inner.begun.clear()
        first = asyncio.create_task(encoder.encode(["first"]))
        assert await asyncio.to_thread(inner.begun.wait, PATIENCE_S)
        second = asyncio.create_task(encoder.encode(["second"]))
        third = asyncio.create_task(encoder.encode(["third"]))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        inner.gate.set()
        await asyncio.gather(first, third)
    assert [call[0] for call in inner.calls[1:]] == ["first", "third"]


async def test_a_failing_load_is_raised_and_leaves_no_thread() -> None:
    def load() -> GatedEncoder:
        raise FileNotFoundError("no such model")

    with pytest.raises(FileNotFoundError, match="no such model"):
        await AsyncTextEncoder.start(load)
    for thread in threading.enumerate():
        if thread.name.startswith("text-encoder"):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


async def test_a_closed_encoder_refuses_work() -> None:
    encoder = await AsyncTextEncoder.start(GatedEncoder)
    encoder.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        await encoder.encode(["late"])


@pytest.mark.models
async def test_the_real_encoder_answers_through_the_loop(minilm_folder: Path) -> None:
    async with await AsyncTextEncoder.load(minilm_folder, threads=1) as encoder:
        vectors = await encoder.encode(["a wave", "another wave"])
    assert vectors.shape == (2, encoder.dimension) == (2, 384)
