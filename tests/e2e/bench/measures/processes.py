"""Memory and start of each process of a running stack."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import psutil

from groundswell.native.control import ask
from groundswell.native.layout import Home
from groundswell.native.status import ask_ready, component_answers, pids, run_files, status
from measures.own_stack import OwnStack
from measures.results import ProcessMeasures

SUPERVISOR = "supervisor"
RESTARTS = 3
READY_WITHIN_S = 120.0
ASK_EVERY_S = 0.02
SETTLED_AFTER_S = 10.0
REST_S = 20.0


def pss_mb(home: Home) -> dict[str, float]:
    """Megabytes (10^6) per program, its children included; the supervisor is one too."""
    now = status(home)
    family = {record.service: 0.0 for record in now.processes}
    for record in now.processes:
        family[record.service] += _pss_of_family(record.pid)
    supervisor = _pss_bytes(now.supervisor_pid) if now.supervisor_pid else 0
    return {name: round(amount / 1e6, 1) for name, amount in (family | {SUPERVISOR: supervisor}).items()}


def _pss_of_family(pid: int) -> int:
    return sum(_pss_bytes(member.pid) for member in _family(pid))


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss_bytes(pid: int) -> int:
    """0 for a process that ended meanwhile."""
    try:
        return parse_pss((Path("/proc") / str(pid) / "smaps_rollup").read_text(encoding="ascii"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def parse_pss(rollup: str) -> int:
    """Bytes of the line `Pss:` (kernel documentation, filesystems/proc)."""
    for line in rollup.splitlines():
        name, _, amount = line.partition(":")
        if name == "Pss":
            return int(amount.split()[0]) * 1024
    raise ValueError("there is no Pss in it")


def rest_percent(home: Home) -> dict[str, float]:
    """Processor time per program over a while in which nobody asks, as a share of one core; the stack has settled."""
    time.sleep(SETTLED_AFTER_S)
    before, started = _processor_s(home), time.monotonic()
    time.sleep(REST_S)
    after, elapsed_s = _processor_s(home), time.monotonic() - started
    return {name: round((after[name] - spent) / elapsed_s * 100, 1) for name, spent in before.items() if name in after}


def _processor_s(home: Home) -> dict[str, float]:
    now = status(home)
    roots = [(record.service, record.pid) for record in now.processes] + [(SUPERVISOR, now.supervisor_pid or 0)]
    spent = dict.fromkeys(dict(roots), 0.0)
    for name, pid in roots:
        members = [psutil.Process(pid)] if name == SUPERVISOR else _family(pid)
        spent[name] += sum(used.user + used.system for used in (member.cpu_times() for member in members))
    return spent


def stack_starts_s(stack: OwnStack, tell: Callable[[str], None]) -> tuple[float, ...]:
    """`up` of the whole stack from nothing running to every process ready, page cache and state warm."""
    taken: list[float] = []
    for _ in range(RESTARTS):
        stack.native("down")
        started = time.monotonic()
        stack.native("up")
        taken.append(round(time.monotonic() - started, 2))
        tell(f"whole stack: ready after {taken[-1]:.1f} s")
    return tuple(taken)


def restarts_s(stack: OwnStack, tell: Callable[[str], None]) -> dict[str, tuple[float, ...]]:
    """From exec to ready of each program, started again alone while the others run."""
    taken: dict[str, tuple[float, ...]] = {}
    for record in status(stack.home).processes:
        taken[record.service] = tuple(
            round(_restart_s(stack, record.service, is_component=record.component), 2) for _ in range(RESTARTS)
        )
        tell(f"{record.service}: ready after {median(taken[record.service]):.2f} s")
    return taken


def _restart_s(stack: OwnStack, name: str, *, is_component: bool) -> float:
    stack.wait_until_complete()
    old = pids(stack.home, name)
    ask(stack.home, "restart", name=name, match="simple")
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        for pid in pids(stack.home, name):
            if pid not in old and _is_ready(stack.home, name, pid, is_component=is_component):
                return time.time() - psutil.Process(pid).create_time()
        time.sleep(ASK_EVERY_S)
    raise TimeoutError(f"{name} is not ready {READY_WITHIN_S:.0f} s after its restart")


def _is_ready(home: Home, name: str, pid: int, *, is_component: bool) -> bool:
    if is_component:
        return component_answers(home, [name])[name]
    told = run_files(home).get(pid)
    return told is not None and not ask_ready(told.port)


def together(
    ready: Mapping[str, float],
    asked: Mapping[str, float],
    rest: Mapping[str, float],
    starts: Mapping[str, tuple[float, ...]],
) -> dict[str, ProcessMeasures]:
    """By program: the supervisor is not started alone, so it has no starts."""
    return {
        name: ProcessMeasures(
            pss_ready_mb=amount, pss_asked_mb=asked[name], rest_percent=rest[name], start_s=starts.get(name, ())
        )
        for name, amount in ready.items()
    }
