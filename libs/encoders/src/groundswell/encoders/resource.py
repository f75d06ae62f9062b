"""The text encoder as a service has it: located, loaded and warmed up before the service says that it is ready."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.telemetry import names
from groundswell.encoders.async_encoder import AsyncTextEncoder
from groundswell.encoders.errors import ModelMissing, UnknownModel
from groundswell.encoders.store import locate


class EncoderResource:
    """The encoder of one model of the store. Waits for a model that is still being pulled."""

    def __init__(self, model: str, models: Path, *, threads: int) -> None:
        self.model = model
        self._models = models
        self._threads = threads
        self._encoder: AsyncTextEncoder | None = None

    async def open(self) -> None:
        """Load and warm up. Raises Unavailable while the store lacks the model, Misconfigured if it always will."""
        try:
            folder = locate(self.model, models_dir=self._models)
        except ModelMissing as missing:
            raise Unavailable(str(missing)) from missing
        except UnknownModel as unknown:
            raise Misconfigured(str(unknown)) from unknown
        self._encoder = await AsyncTextEncoder.load(folder, threads=self._threads)

    async def check(self) -> None:
        """Raises Unavailable before `open`."""
        self._loaded()

    async def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors [len(texts), dimension] of length 1, in order. Raises Unavailable before `open`."""
        with names.ENCODE_SECONDS.labels(self.model).time():
            return await self._loaded().encode(texts)

    def _loaded(self) -> AsyncTextEncoder:
        if self._encoder is None:
            raise Unavailable(f"model {self.model} is not loaded")
        return self._encoder
