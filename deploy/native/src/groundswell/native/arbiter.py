"""The supervisor of one stack, run in a session of its own: `python -m groundswell.native.arbiter HOME`.

One circus arbiter holds every program in the foreground, brings back what dies, rotates the logs, and keeps the HTTP
socket that all orchestrators inherit. It is told to stop by SIGTERM; services stop before the components they use.
"""

import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

from circus import logger  # type: ignore[import-untyped]
from circus.arbiter import Arbiter  # type: ignore[import-untyped]
from circus.commands.base import Command  # type: ignore[import-untyped]
from circus.sockets import CircusSocket  # type: ignore[import-untyped]
from circus.stream import FileStream  # type: ignore[import-untyped]
from circus.util import configure_logger  # type: ignore[import-untyped]
from circus.watcher import Watcher  # type: ignore[import-untyped]
from tornado import gen

from groundswell.native.control import endpoint, lock_file
from groundswell.native.layout import Home
from groundswell.native.program import Program, load

LOG_BYTES = 20_000_000
LOG_BACKUPS = 3
LOCK_ATTEMPTS = 20


class StackArbiter(Arbiter):  # type: ignore[misc]
    """Stops in two waves, and asks nobody to restart what is being stopped."""

    def manage_watchers(self) -> Any:
        """Brings back what died, every second in which no command runs."""
        return None if self._exclusive_running_command else super().manage_watchers()

    @gen.coroutine
    def _stop_watchers(
        self, close_output_streams: bool = False, watcher_iter_func: Callable[..., list[Any]] | None = None
    ) -> Iterator[Any]:
        watchers = (watcher_iter_func or self.iter_watchers)(reverse=False)
        for component in (False, True):
            wave = [watcher for watcher in watchers if (watcher.priority > 0) is component]
            yield gen.multi([watcher._stop(close_output_streams) for watcher in wave])  # noqa: SLF001 - as its base does


class StackWatcher(Watcher):  # type: ignore[misc]
    """Lets go of the pipes of a dead process before circus closes them.

    Left registered, their numbers come again with the next process of another program, which then can never start.
    """

    def reap_process(self, pid: int, status: int | None = None) -> None:
        process = self.processes.get(pid)
        if process is not None and self.stream_redirector is not None:
            self.stream_redirector.remove_redirections(process)
        super().reap_process(pid, status)

    def leave_first(self, pids: Collection[int]) -> None:
        """Of too many processes circus ends the oldest: these are the oldest from now on."""
        for pid in self.processes.keys() & set(pids):
            self.processes[pid].started = 0


class LeaveFirst(Command):  # type: ignore[misc]
    """Says which processes of a program leave before others, once fewer are wanted."""

    name = "leave-first"
    properties = ("name", "pids")

    def execute(self, arbiter: Arbiter, props: dict[str, Any]) -> None:
        self._get_watcher(arbiter, props["name"]).leave_first(props["pids"])


def watcher_for(program: Program, home: Home) -> StackWatcher:
    """Both streams of a program go into one rotated file; a program that cannot be executed is tried five times."""
    stream = FileStream(filename=str(home.logs / f"{program.name}.log"), max_bytes=LOG_BYTES, backup_count=LOG_BACKUPS)
    head, *rest = _command(program)
    return StackWatcher(
        program.name,
        shlex.quote(head),
        args=rest,
        numprocesses=program.copies,
        env=dict(program.env),
        working_dir=str(home.path),
        uid=program.user,
        priority=1 if program.component else 0,
        use_sockets=program.inherits_http,
        stop_signal=program.stop_signal,
        graceful_timeout=program.stop_timeout_s,
        stdout_stream={"stream": stream},
        stderr_stream={"stream": stream},
        max_retry=5,
    )


def _command(program: Program) -> tuple[str, ...]:
    if not program.inherits_http:
        return program.command
    # circus fills in the socket's number in arguments only, never in the environment
    return (shutil.which("env") or "/usr/bin/env", "GROUNDSWELL_HTTP_FD=$(circus.sockets.http)", *program.command)


def detach(home: Home) -> int:
    """Runs the supervisor in a grandchild; returns 0 once that one holds the stack's lock, 1 when it ended before."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        run(home, started=lambda: _tell(writing))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as news:
        return 0 if news.read(1) else 1


def _tell(writing: int) -> None:
    os.write(writing, b"1")
    os.close(writing)


def run(home: Home, started: Callable[[], None]) -> None:
    os.umask(0o077)
    lock = _hold(lock_file(home))
    if lock is None:
        return
    started()
    configure_logger(logger, level="INFO", output="-")
    with endpoint(home, "control") as control, endpoint(home, "events") as events:
        for name in ("control", "events"):
            (home.run / f"{name}.sock").unlink(missing_ok=True)
        _arbiter(home, control, events).start()
    lock.close()


def _arbiter(home: Home, control: str, events: str) -> StackArbiter:
    wanted = load(home.programs_file)
    return StackArbiter(
        [watcher_for(program, home) for program in wanted.programs],
        control,
        events,
        sockets=[CircusSocket("http", "127.0.0.1", wanted.http_port)] if wanted.http_port else [],
        proc_name="groundswell",
    )


def _hold(path: Path) -> TextIO | None:
    """Takes the lock for as long as this supervisor lives, with its process id in it; None when another one has it."""
    lock = path.open("a+")
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)  # somebody who only asks holds it for a moment
        else:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return lock
    lock.close()
    return None


if __name__ == "__main__":
    sys.exit(detach(Home.at(Path(sys.argv[1]))))
