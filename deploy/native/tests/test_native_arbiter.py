"""What the supervisor makes of circus: a process that dies takes no other one with it."""

import os
from pathlib import Path

from groundswell.native.arbiter import StackWatcher, watcher_for
from groundswell.native.layout import Home
from groundswell.native.program import Program


def watching(name: str, home: Home) -> StackWatcher:
    watcher = watcher_for(Program(name=name, command=("/bin/sh", "-c", "exec true"), env={}), home)
    watcher.initialize(None, {}, None)
    return watcher


async def test_a_process_that_died_leaves_no_pipe_that_another_program_would_stumble_over(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    first, second = watching("first", home), watching("second", home)
    await first._start()
    [pid] = first.processes
    # dies and is reaped before the loop has seen the end of its output
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop must not run
    first.reap_process(pid)
    await second._start()
    assert len(second.processes) == 1
    for watcher in (first, second):
        await watcher._stop(close_output_streams=True)
