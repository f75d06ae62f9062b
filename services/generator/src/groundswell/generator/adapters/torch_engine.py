"""A language model in a process of its own, so that neither its steps nor its death stop the service."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence

import structlog

from groundswell.generator.adapters.worker_messages import (
    FROM_WORKER,
    HELD_MODEL,
    LOADED,
    Cancel,
    HeldModel,
    Loaded,
    Stepped,
    Submit,
    ToWorker,
    to_line,
)
from groundswell.generator.domain.jobs import TERMINAL, AttemptKey, Failed, GenerationJob
from groundswell.generator.ports import Tell

log = structlog.get_logger(__name__)
_LINE_LIMIT = 2**22  # bytes; the events of one step are a few kilobytes
_STOP_TIMEOUT_S = 5.0
UNREADABLE = "the model's process said what cannot be read"


def worker_command(spec: HeldModel) -> tuple[str, ...]:
    return sys.executable, "-m", "groundswell.generator.adapters.torch_worker", HELD_MODEL.dump_json(spec).decode()


class TorchEngine:
    """Runs `command` (see `worker_command`), and runs it again when it ends; its jobs then end with `Failed`.

    A worker that does not load within `load_timeout_s`, or has jobs and is silent for `step_timeout_s`, is killed.
    `on_step` hears how many seconds each step took; `on_change` is called when `ready` has changed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        threads: int = 1,
        step_timeout_s: float = 60.0,
        load_timeout_s: float = 600.0,
        restart_pause_s: float = 1.0,
        on_step: Callable[[float], None] = lambda _seconds: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = command
        self._variables = {
            "OMP_NUM_THREADS": str(threads),
            # threads that wait for each other spin for milliseconds by default: a tenth or two faster on idle cores,
            # but beside other work on the same cores a token then takes up to ten times as long
            "GOMP_SPINCOUNT": "1000",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        self._step_timeout_s = step_timeout_s
        self._load_timeout_s = load_timeout_s
        self._restart_pause_s = restart_pause_s
        self._on_step = on_step
        self._on_change = on_change
        self._jobs: dict[AttemptKey, Tell] = {}
        self._process: Process | None = None
        self._silence: asyncio.Timeout | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._silence is not None

    async def start(self) -> None:
        process = await self._load()
        self._keeper = asyncio.create_task(self._keep(process))
        await asyncio.sleep(0)  # the keeper listens: ready

    def submit(self, job: GenerationJob, tell: Tell) -> None:
        if job.key in self._jobs:
            raise ValueError(f"attempt {job.key.attempt} of {job.key.request_id} runs already")
        if not self.ready:
            tell(Failed("the model is not loaded"))
            return
        was_idle = not self._jobs
        self._jobs[job.key] = tell
        self._send(Submit(job))
        if was_idle:
            self._expect_step()

    def cancel(self, key: AttemptKey) -> None:
        if key in self._jobs:
            self._send(Cancel(key))

    async def stop(self) -> None:
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._process:
            await _end(self._process)
        self._fail_jobs("the engine was stopped")

    def _send(self, message: ToWorker) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(to_line(message))

    async def _keep(self, process: Process) -> None:
        while True:
            reason = await self._listen(process)
            log.error("the model's process ended", reason=reason, jobs=len(self._jobs))
            self._fail_jobs(reason)
            process = await self._load_again()

    async def _load_again(self) -> Process:
        while True:
            await asyncio.sleep(self._restart_pause_s)
            try:
                return await self._load()
            except RuntimeError as error:
                log.warning("the model cannot be loaded, trying again", reason=str(error))
            except Exception:  # ended here, the keeper would leave the engine loading for ever
                log.exception("the model cannot be loaded, trying again")

    async def _load(self) -> Process:
        """A new worker, loaded. Raises RuntimeError if it ends, is silent for too long, or says something else."""
        process = self._process = await self._spawn()
        try:
            async with asyncio.timeout(self._load_timeout_s):
                line = await _lines(process).readline()
            if line:
                LOADED.validate_json(line)
        except TimeoutError:
            await _kill(process)
            raise RuntimeError(f"the model did not load within {self._load_timeout_s:g} s") from None
        except ValueError as error:
            await _kill(process)
            raise RuntimeError(f"the model did not load: {UNREADABLE}") from error
        except BaseException:
            await _kill(process)
            raise
        if not line:
            raise RuntimeError(f"the model did not load: its process ended with status {await process.wait()}")
        return process

    async def _spawn(self) -> Process:
        variables = {**os.environ, **self._variables}
        try:
            return await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, env=variables, limit=_LINE_LIMIT
            )
        except OSError as error:
            raise RuntimeError(f"the model's process cannot be started: {error.strerror}") from error

    async def _listen(self, process: Process) -> str:
        """Pass events on until the worker ends; why it did."""
        try:
            async with asyncio.timeout(None) as self._silence:
                self._on_change()
                while line := await _lines(process).readline():
                    self._pass_on(FROM_WORKER.validate_json(line))
                    self._expect_step()
            return f"the model's process ended with status {await process.wait()}"
        except TimeoutError:
            await _kill(process)
            return f"a step of the model took longer than {self._step_timeout_s:g} s"
        except ValueError:
            return UNREADABLE
        except Exception as error:
            log.exception("what the model's process said was not expected")
            return f"what the model's process said was not expected: {type(error).__name__}"
        finally:
            self._silence = None
            self._on_change()
            await _end(process)

    def _pass_on(self, step: Loaded | Stepped) -> None:
        if isinstance(step, Loaded):
            return
        self._on_step(step.seconds)
        for keyed in step.events:
            is_last = isinstance(keyed.event, TERMINAL)
            tell = self._jobs.pop(keyed.key) if is_last else self._jobs[keyed.key]
            tell(keyed.event)

    def _expect_step(self) -> None:
        if self._silence and not self._silence.expired():
            now = asyncio.get_running_loop().time()
            self._silence.reschedule(now + self._step_timeout_s if self._jobs else None)

    def _fail_jobs(self, reason: str) -> None:
        jobs, self._jobs = self._jobs, {}
        for tell in jobs.values():
            tell(Failed(reason))


def _lines(process: Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise RuntimeError("the worker's standard output is not a pipe")
    return process.stdout


async def _end(process: Process) -> None:
    """Close its input, on which a worker ends at once; kill one that does not."""
    if process.stdin:
        process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        await _kill(process)


async def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
