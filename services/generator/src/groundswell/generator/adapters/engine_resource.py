"""The engine as a thing that a service waits for."""

from collections.abc import Callable

from groundswell.common.errors import Unavailable
from groundswell.encoders.errors import ModelStoreError
from groundswell.generator.ports import Engine


class EngineResource:
    """Opened when the model has generated once. `locate` raises what says that the model's folder is not there yet."""

    def __init__(self, engine: Engine, locate: Callable[[], object]) -> None:
        self._engine = engine
        self._locate = locate

    async def open(self) -> None:
        """Raises Unavailable with the reason; the next call tries again."""
        try:
            self._locate()
            await self._engine.start()
        except (ModelStoreError, RuntimeError) as error:
            raise Unavailable(str(error)) from error

    async def check(self) -> None:
        if not self._engine.ready:
            raise Unavailable("the model is being loaded again")

    async def close(self) -> None:
        await self._engine.stop()
