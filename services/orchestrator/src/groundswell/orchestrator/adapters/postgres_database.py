"""The schema `orchestrator`: opened and migrated before anything else uses it."""

from importlib.resources import files

from groundswell.common.postgres import Postgres, migrate


class Database:
    """The resource of the service; the other Postgres adapters share its pool."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def open(self) -> None:
        """Raises Unavailable while the server is away."""
        await self._postgres.open()
        await migrate(self._postgres, "orchestrator", files("groundswell.orchestrator") / "migrations")

    async def check(self) -> None:
        await self._postgres.check()

    async def close(self) -> None:
        await self._postgres.close()
