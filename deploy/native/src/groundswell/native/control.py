"""The line to a running supervisor: a socket in the stack's private run folder."""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from groundswell.native.errors import NotRunningError, StackError
from groundswell.native.layout import Home

SOCKET_PATH_LIMIT = 100
ASK_AGAIN_S = 0.2
BUSY = "arbiter is already running"
"""How circus refuses a command while another one, or its own look at the processes, is not done."""


def lock_file(home: Home) -> Path:
    return home.run / "supervisor.lock"


@contextmanager
def endpoint(home: Home, name: str) -> Iterator[str]:
    """An address of a Unix socket; one whose path is too long for the system is reached through a descriptor."""
    path = home.run / f"{name}.sock"
    if len(str(path)) < SOCKET_PATH_LIMIT:
        yield f"ipc://{path}"
        return
    folder = os.open(home.run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"ipc:///proc/{os.getpid()}/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def supervisor_pid(home: Home) -> int | None:
    """The process id of the running supervisor: the one that holds the lock; a file left by a dead one says nothing."""
    path = lock_file(home)
    if not path.exists():
        return None
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = lock.read().strip()
            return int(text) if text else None
    return None


def ask(home: Home, command: str, timeout_s: float = 10.0, **properties: object) -> dict[str, Any]:
    """One command of circus' control protocol; waits while the supervisor is busy with another one.

    Raises NotRunningError, or StackError with what it refused.
    """
    until = time.monotonic() + timeout_s
    while (answer := _send(home, command, timeout_s, properties)).get("status") == "error":
        reason = str(answer.get("reason"))
        if BUSY not in reason or time.monotonic() > until:
            raise StackError(f"the supervisor refused {command}: {reason}")
        time.sleep(ASK_AGAIN_S)
    return answer


def _send(home: Home, command: str, timeout_s: float, properties: Mapping[str, object]) -> dict[str, Any]:
    from circus.client import CallError, CircusClient  # type: ignore[import-untyped]  # noqa: PLC0415 - loads ZeroMQ

    if supervisor_pid(home) is None:
        raise NotRunningError("the stack is not running: start it with `make up`")
    with endpoint(home, "control") as address:
        client = CircusClient(endpoint=address, timeout=timeout_s)
        try:
            return cast("dict[str, Any]", client.send_message(command, **properties))
        except CallError as error:
            raise StackError(f"the supervisor does not answer ({error}); see {home.logs / 'supervisor.log'}") from error
        finally:
            client.stop()
