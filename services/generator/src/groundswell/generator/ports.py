"""What the generator needs of a language model."""

from collections.abc import Callable
from typing import Protocol

from groundswell.generator.domain.jobs import AttemptKey, EngineEvent, GenerationJob

Tell = Callable[[EngineEvent], None]


class Engine(Protocol):
    """Runs several jobs at once, joined and left between steps."""

    @property
    def ready(self) -> bool:
        """Whether a job that is submitted now can run: the model is loaded and has generated once."""

    async def start(self) -> None:
        """Load the model and warm it up. Returns when ready; raises RuntimeError with the reason if that fails."""

    def submit(self, job: GenerationJob, tell: Tell) -> None:
        """Run `job`; `tell` hears of it on the event loop, `Started` first, one of `TERMINAL` last.

        Raises ValueError if an attempt with that key runs already.
        """

    def cancel(self, key: AttemptKey) -> None:
        """Free the slot at the next step; the job ends with `Cancelled`. Keys that do not run are ignored."""

    async def stop(self) -> None:
        """End at once. Jobs that still run end with `Failed`."""
