"""Files are read off the event loop, with the embedder's own tokenizer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from groundswell.common.errors import Unavailable
from groundswell.common.settings import default_models_folder
from groundswell.encoders.errors import ModelMissing
from groundswell.encoders.store import locate
from groundswell.encoders.tokens import TokenCounter
from groundswell.ingest.adapters.threaded_reader import ThreadedReader
from groundswell.ingest.domain.decoding import Rejection, RejectionCode
from groundswell.ingest.domain.reading import Reading

MODELS = default_models_folder()


def reader_of(models: Path) -> ThreadedReader:
    return ThreadedReader(model="minilm", models=models, limit_bytes=2_000_000, threads=1)


@pytest.fixture
async def reader() -> AsyncIterator[ThreadedReader]:
    opened = reader_of(MODELS)
    await opened.open()
    yield opened
    await opened.close()


async def test_without_the_model_it_waits_and_says_what_to_do(tmp_path: Path) -> None:
    reader = reader_of(tmp_path)
    with pytest.raises(Unavailable, match="models pull"):
        await reader.open()
    with pytest.raises(Unavailable):
        await reader.read("a.md", b"text")
    await reader.close()


def test_some_files_are_refused_before_they_are_fetched(tmp_path: Path) -> None:
    reader = reader_of(tmp_path)
    assert reader.refuse("a.md", 1_000) is None
    for name, size, code in (("a.exe", 1, RejectionCode.UNKNOWN_TYPE), ("a.md", 3_000_000, RejectionCode.TOO_LARGE)):
        refusal = reader.refuse(name, size)
        assert isinstance(refusal, Rejection)
        assert refusal.code is code


@pytest.mark.models
@pytest.mark.parametrize(
    "text",
    [
        "# T\n\n" + "A sentence of nine plain words stands right here. " * 300,
        "supercalifragilisticexpialidocious" * 300,
        "\u6587\u5b57\u304c\u3042\u308b\u3002" * 500,
        "x = {'a': [1, 2, 3]}  # [SEP] [CLS]\n" * 300,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467e\u0301 \u0915\u094d\u0937 " * 300,
        "|".join("-" * 300 for _ in range(20)),
    ],
)
async def test_what_is_embedded_fits_the_embedder_by_its_own_count(reader: ThreadedReader, text: str) -> None:
    reading = await reader.read("a.md", text.encode())
    assert isinstance(reading, Reading)
    assert "".join(text[chunk.start : chunk.end] for chunk in reading.chunks) == text
    counts = counter().count_many([text[chunk.overlap_start : chunk.end] for chunk in reading.chunks])
    assert max(counts) <= 254


@pytest.mark.models
async def test_the_event_loop_runs_on_while_a_large_file_is_read(reader: ThreadedReader) -> None:
    work = asyncio.create_task(reader.read("a.md", b"A sentence of some words. " * 20_000))
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    assert isinstance(await work, Reading)
    assert turns > 20


def counter() -> TokenCounter:
    try:
        return TokenCounter.load(locate("minilm", models_dir=MODELS))
    except ModelMissing as error:
        raise AssertionError(str(error)) from error
