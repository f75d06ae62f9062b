"""The encoder as a resource of a service."""

from pathlib import Path

import numpy as np
import pytest

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.settings import default_models_folder
from groundswell.encoders.resource import EncoderResource


async def test_a_model_that_nobody_pulled_is_waited_for_and_named(tmp_path: Path) -> None:
    encoder = EncoderResource("minilm", tmp_path, threads=1)
    with pytest.raises(Unavailable, match="models pull minilm"):
        await encoder.open()
    with pytest.raises(Unavailable, match="not loaded"):
        await encoder.check()


async def test_a_model_that_is_not_in_the_catalogue_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        await EncoderResource("no-such-model", tmp_path, threads=1).open()


async def test_encoding_before_opening_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await EncoderResource("minilm", tmp_path, threads=1).encode(["text"])


@pytest.mark.models
async def test_an_open_encoder_gives_unit_vectors_and_a_closed_one_none() -> None:
    encoder = EncoderResource("minilm", default_models_folder(), threads=1)
    await encoder.open()
    await encoder.check()
    vectors = await encoder.encode(["one", "two"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    await encoder.close()
    with pytest.raises(Unavailable):
        await encoder.check()
