"""More or fewer processes of a service: those that come are waited for, those that leave drain first."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from groundswell.native import services
from groundswell.native.completeness import Completeness
from groundswell.native.control import ask
from groundswell.native.layout import Home
from groundswell.native.program import Program, load, save
from groundswell.native.status import Record, processes, require_service
from groundswell.native.waiting import wait_for

DRAIN_TIMEOUT_S = 90.0
READY_TIMEOUT_S = 180.0


def scale(home: Home, service: str, copies: int, tell: Callable[[str], None]) -> list[int]:
    """Runs that many processes of a service, and tells what else that does. Returns the ids of those that are ready.

    Ready ones stay rather than others. Raises NotReadyError when one that was added does not become ready.
    """
    program = require_service(home, service)
    services.require_scalable(program)
    before = processes(home, [program])
    _remember(home, program.model_copy(update={"copies": copies}))
    has_fewer_threads = services.share_threads(home, service, copies)
    ask(home, "leave-first", name=service, pids=leaving(before, copies))
    ask(home, "set", DRAIN_TIMEOUT_S, name=service, options={"numprocesses": copies}, waiting=True)
    if copies:
        # circus stops for good what had nothing to start, as in a restart of no copies
        ask(home, "start", DRAIN_TIMEOUT_S, name=service, match="simple", waiting=True)
    if copies > len(before):
        # Those that were there may hang: that is why some scale out.
        added = Completeness(home, only=service, as_they_are=[record.pid for record in before])
        wait_for(added.lacking, home, READY_TIMEOUT_S, "Scaling")
    if has_fewer_threads:
        _replace(home, program, [record.pid for record in before], tell)
    return [record.pid for record in processes(home, [program]) if record.ready]


def leaving(running: Sequence[Record], copies: int) -> list[int]:
    """Which processes leave so that `copies` are left: first those that are not ready, then the oldest."""
    in_order = sorted(running, key=lambda record: (record.ready, -record.uptime_s))
    return [record.pid for record in in_order[: max(0, len(running) - copies)]]


def _replace(home: Home, program: Program, outdated: list[int], tell: Callable[[str], None]) -> None:
    """Drains these processes one after the other, each once another one can do its work; new ones take their place."""
    for pid in outdated:
        wait_for(lambda pid=pid: _lacks_another(home, program, pid), home, READY_TIMEOUT_S, "Scaling")  # type: ignore[misc]
        tell(f"{program.name} {pid} starts again with its share of the threads")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_for(Completeness(home, only=program.name, without=outdated).lacking, home, READY_TIMEOUT_S, "Scaling")


def _lacks_another(home: Home, program: Program, pid: int) -> dict[str, str]:
    others = [record for record in processes(home, [program]) if record.pid != pid]
    return {} if any(record.ready for record in others) else {program.name: "no other process is ready"}


def _remember(home: Home, changed: Program) -> None:
    wanted = load(home.programs_file)
    programs = tuple(changed if program.name == changed.name else program for program in wanted.programs)
    save(home, wanted.model_copy(update={"programs": programs}))
