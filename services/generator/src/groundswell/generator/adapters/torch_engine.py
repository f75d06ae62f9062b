"""A language model in a process of its own, so that neither its steps nor its death stop the service."""

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence

from groundswell.generator.adapters.worker_messages import (
    FROM_WORKER,
    MODEL_SPEC,
    Cancel,
    Loaded,
    ModelSpec,
    Stepped,
    Submit,
    ToWorker,
    to_line,
)
from groundswell.generator.ports import TERMINAL, AttemptKey, EngineEvent, Failed, GenerationJob

_log = logging.getLogger(__name__)
_LINE_LIMIT = 2**22  # bytes; the events of one step are a few kilobytes
_STOP_TIMEOUT_S = 5.0


def worker_command(spec: ModelSpec) -> tuple[str, ...]:
    return sys.executable, "-m", "groundswell.generator.adapters.torch_worker", MODEL_SPEC.dump_json(spec).decode()


class TorchEngine:
    """Runs `command` (see `worker_command`), and runs it again when it ends; its jobs then end with `Failed`.

    A worker that does not load within `load_timeout_s`, or has jobs and is silent for `step_timeout_s`, is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        threads: int = 1,
        step_timeout_s: float = 60.0,
        load_timeout_s: float = 600.0,
        restart_pause_s: float = 1.0,
    ) -> None:
        self._command = command
        self._variables = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        self._step_timeout_s = step_timeout_s
        self._load_timeout_s = load_timeout_s
        self._restart_pause_s = restart_pause_s
        self._jobs: dict[AttemptKey, asyncio.Queue[EngineEvent]] = {}
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

    async def run(self, job: GenerationJob) -> AsyncIterator[EngineEvent]:
        events = self._submit(job)
        try:
            while True:
                event = await events.get()
                yield event
                if isinstance(event, TERMINAL):
                    return
        finally:
            self.cancel(job.key)

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

    def _submit(self, job: GenerationJob) -> "asyncio.Queue[EngineEvent]":
        if job.key in self._jobs:
            raise ValueError(f"attempt {job.key.attempt} of {job.key.request_id} runs already")
        events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        if not self.ready:
            events.put_nowait(Failed("the model is not loaded"))
            return events
        was_idle = not self._jobs
        self._jobs[job.key] = events
        self._send(Submit(job))
        if was_idle:
            self._expect_step()
        return events

    def _send(self, message: ToWorker) -> None:
        if self._process and self._process.stdin:
            self._process.stdin.write(to_line(message))

    async def _keep(self, process: Process) -> None:
        while True:
            reason = await self._listen(process)
            _log.error("the model's process ended", extra={"reason": reason, "jobs": len(self._jobs)})
            self._fail_jobs(reason)
            process = await self._load_again()

    async def _load_again(self) -> Process:
        while True:
            await asyncio.sleep(self._restart_pause_s)
            try:
                return await self._load()
            except RuntimeError as error:
                _log.error("the model cannot be loaded, trying again", extra={"reason": str(error)})

    async def _load(self) -> Process:
        """A new worker, loaded. Raises RuntimeError if it ends, or is silent for too long, before."""
        variables = {**os.environ, **self._variables}
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env=variables, limit=_LINE_LIMIT
        )
        self._process = process
        try:
            async with asyncio.timeout(self._load_timeout_s):
                line = await _lines(process).readline()
        except TimeoutError:
            await _end(process)
            raise RuntimeError(f"the model did not load within {self._load_timeout_s:g} s") from None
        if not line or not isinstance(FROM_WORKER.validate_json(line), Loaded):
            raise RuntimeError(f"the model did not load: its process ended with status {await process.wait()}")
        return process

    async def _listen(self, process: Process) -> str:
        """Pass events on until the worker ends; why it did."""
        try:
            async with asyncio.timeout(None) as self._silence:
                while line := await _lines(process).readline():
                    message = FROM_WORKER.validate_json(line)
                    if isinstance(message, Stepped):
                        self._pass_on(message)
                    self._expect_step()
            return f"the model's process ended with status {await process.wait()}"
        except TimeoutError:
            return f"a step of the model took longer than {self._step_timeout_s:g} s"
        finally:
            self._silence = None
            await _end(process)

    def _pass_on(self, step: Stepped) -> None:
        for keyed in step.events:
            is_last = isinstance(keyed.event, TERMINAL)
            events = self._jobs.pop(keyed.key, None) if is_last else self._jobs.get(keyed.key)
            if events:
                events.put_nowait(keyed.event)

    def _expect_step(self) -> None:
        if self._silence:
            now = asyncio.get_running_loop().time()
            self._silence.reschedule(now + self._step_timeout_s if self._jobs else None)

    def _fail_jobs(self, reason: str) -> None:
        jobs, self._jobs = self._jobs, {}
        for events in jobs.values():
            events.put_nowait(Failed(reason))


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
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
