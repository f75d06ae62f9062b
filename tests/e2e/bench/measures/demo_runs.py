"""`make demo` with a clock beside it: GNU make's --trace says where one target ends and the next begins."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from measures.own_stack import OwnStack, environment, interruptible, undisturbed
from measures.results import DemoRun

_TARGET = re.compile(r"^Makefile:\d+: (?:update )?target '(provide|up|demo)'")
_DONE = re.compile(r"^(.+?): done \(([\d.]+) s\)$")
_QUESTION = "$ groundswell ask"
_BEGINS = {"environment": "", "provide": "provide", "start": "up", "ingest": "demo", "answer": _QUESTION}

Line = tuple[float, str]
"""Seconds since the start, and what was said then."""


def run_demo(checkout: Path, env: Mapping[str, str]) -> DemoRun:
    """Runs it and shows what it says. Raises CalledProcessError when it fails."""
    return split(list(_clocked(["make", "--trace", "demo"], checkout, env)))


def first_demo(checkout: Path) -> DemoRun:
    """`make demo` in a fresh clone of what is committed, with empty caches; all of it is removed afterwards."""
    with interruptible(), tempfile.TemporaryDirectory(prefix="groundswell-first-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        clone = place / "groundswell"
        _clone(checkout, clone)
        env = environment(clone / ".groundswell", XDG_CACHE_HOME=str(place / "cache"))
        try:
            return run_demo(clone, env)
        finally:
            undisturbed(lambda: _reset(clone, env))


def _clone(checkout: Path, clone: Path) -> None:
    command = [shutil.which("git") or "git", "clone", "--quiet", str(checkout), str(clone)]
    subprocess.run(command, check=True)


def demo_of(stack: OwnStack) -> DemoRun:
    return run_demo(stack.checkout, stack.env)


def _reset(clone: Path, env: Mapping[str, str]) -> None:
    python = clone / ".venv" / "bin" / "python"
    if python.exists():
        subprocess.run([str(python), "-m", "groundswell.native", "reset"], check=False, cwd=clone, env=dict(env))


def _clocked(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[Line]:
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        for line in running.stdout or ():
            elapsed_s = time.monotonic() - started
            sys.stderr.write(f"{elapsed_s:8.1f} s  {line}")
            yield elapsed_s, line.rstrip("\n")
    yield time.monotonic() - started, ""
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, list(command))


def split(lines: Sequence[Line]) -> DemoRun:
    """The last line is the end. Raises ValueError naming the stage whose beginning was not seen."""
    begins = dict(_beginnings(lines))
    missing = [stage for stage in _BEGINS if stage not in begins]
    if missing:
        raise ValueError(f"make demo did not say when it began: {', '.join(missing)}")
    total_s = lines[-1][0]
    moments = [begins[stage] for stage in _BEGINS] + [total_s]
    stages_s = {stage: round(end - begin, 1) for stage, (begin, end) in zip(_BEGINS, pairwise(moments), strict=True)}
    components_s = dict(_steps(line for line in lines if begins["provide"] <= line[0] <= begins["start"]))
    models_s = round(stages_s["provide"] - sum(components_s.values()), 1)
    return DemoRun(total_s=round(total_s, 1), stages_s=stages_s, provided_s=components_s | {"models": models_s})


def _beginnings(lines: Iterable[Line]) -> Iterator[tuple[str, float]]:
    stage_of = {mark: stage for stage, mark in _BEGINS.items()}
    yield "environment", 0.0
    for elapsed_s, text in lines:
        target = _TARGET.match(text)
        mark = target[1] if target else _QUESTION if text.startswith(_QUESTION) else None
        if mark is not None:
            yield stage_of[mark], elapsed_s


def _steps(lines: Iterable[Line]) -> Iterator[tuple[str, float]]:
    for _, text in lines:
        if step := _DONE.match(text):
            yield step[1], float(step[2])
