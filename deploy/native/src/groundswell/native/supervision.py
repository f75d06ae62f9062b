"""Starting and stopping the supervisor of a stack."""

import subprocess
import sys
import time
from contextlib import suppress
from os import kill
from signal import SIGKILL, SIGTERM

import psutil

from groundswell.native.control import supervisor_pid
from groundswell.native.errors import StackError
from groundswell.native.layout import Home
from groundswell.native.program import Programs, save
from groundswell.native.progress import Step

STOP_TIMEOUT_S = 75.0
REPEAT_S = 2.0
MARK = "GROUNDSWELL_SUPERVISED_BY"


def start(home: Home, programs: Programs) -> None:
    """Starts the supervisor in a session of its own; returns once it holds its lock."""
    end_orphans(home)
    for stale in home.run.glob("*-*.json"):
        stale.unlink(missing_ok=True)
    marked = [program.model_copy(update={"env": {**program.env, MARK: home.key}}) for program in programs.programs]
    save(home, programs.model_copy(update={"programs": tuple(marked)}))
    launch(home)


def launch(home: Home) -> None:
    """Runs the supervisor on what was saved. Raises StackError when it does not get the stack's lock."""
    log = home.logs / "supervisor.log"
    with log.open("ab") as output:
        result = subprocess.run(
            [sys.executable, "-m", "groundswell.native.arbiter", str(home.path)],
            check=False,
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if result.returncode:
        raise StackError(f"the supervisor did not start; see {log}")


def stop(home: Home) -> bool:
    """Stops the stack in order and waits for it; False when nothing ran. What a dead supervisor left is ended too."""
    pid = supervisor_pid(home)
    if pid is None:
        end_orphans(home)
        return False
    with Step("Stopping") as step:
        _stop_gracefully(home, pid, step)
    end_orphans(home)
    return True


def _stop_gracefully(home: Home, pid: int, step: Step) -> None:
    """SIGTERM until it is heard (circus drops it while it is busy with another command), SIGKILL after a while."""
    started = told = time.monotonic() - REPEAT_S
    while supervisor_pid(home) is not None:
        now = time.monotonic()
        if now - started > STOP_TIMEOUT_S:
            _signal(pid, SIGKILL)
            return
        if now - told >= REPEAT_S:
            _signal(pid, SIGTERM)
            told = now
        step.update(f"{len(_children(pid))} processes left")
        time.sleep(0.1)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        kill(pid, number)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


def end_orphans(home: Home) -> None:
    """Ends programs of this stack that a killed supervisor left running, known by the mark in their environment."""
    orphans = [process for process in psutil.process_iter() if _belongs_to(process, home)]
    for orphan in orphans:
        orphan.terminate()
    for stubborn in psutil.wait_procs(orphans, timeout=10)[1]:
        stubborn.kill()
    psutil.wait_procs(orphans, timeout=5)


def _belongs_to(process: psutil.Process, home: Home) -> bool:
    try:
        return process.environ().get(MARK) == home.key
    except (psutil.Error, OSError):
        return False
