"""Says what this machine lacks, before anything heavy starts.

Runs on the machine's own Python, before there is an environment: only the standard library, and nothing newer than
Python 3.8 understands, so that an old Python gets a clear line instead of a syntax error.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NEEDED_PYTHON = (3, 11)
GIB = 1 << 30
ENVIRONMENT_GIB = 7
BUILD_GIB = 7
STATE_GIB = 2
STACK_MEMORY_GIB = 5
OPEN_FILES = 4096


class Check(NamedTuple):
    """One finding. `serious` ones stop the start; `advice` says what to do."""

    name: str
    fine: bool
    detail: str
    advice: str = ""
    serious: bool = True


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundswell"


def checkout() -> Path:
    return Path(__file__).resolve().parents[5]


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    text = ".".join(map(str, version))
    advice = "install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12"
    return Check("python", tuple(version[:2]) >= NEEDED_PYTHON, text, advice)


def check_venv() -> Check:
    found = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
    return Check("venv", found, "venv and ensurepip", "install your system's python3-venv package")


def check_machine(system: str = platform.system(), machine: str = platform.machine()) -> Check:
    fine = system == "Linux" and machine in ("x86_64", "aarch64")
    return Check("machine", fine, f"{system} {machine}", "the local stack needs Linux on x86_64 or aarch64")


def check_tools() -> Check:
    missing = [tool for tool in ("make", "env", "nice", "tail") if shutil.which(tool) is None]
    return Check("tools", not missing, "make, coreutils", f"install: {', '.join(missing)}")


def check_disk(folder: Path, needed_gib: int, what: str) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free / GIB
    advice = f"{what} needs {needed_gib} GiB there: free some, or move it with XDG_CACHE_HOME or GROUNDSWELL_HOME"
    return Check(f"disk for {what}", free >= needed_gib, f"{free:.0f} GiB free at {there}", advice)


def check_memory(available_gib: float | None) -> Check:
    if available_gib is None:
        return Check("memory", True, "unknown", serious=False)
    advice = f"the stack with its language model needs {STACK_MEMORY_GIB} GiB; set GROUNDSWELL_MODEL=null for less"
    return Check("memory", available_gib >= STACK_MEMORY_GIB, f"{available_gib:.1f} GiB free", advice, serious=False)


def available_memory_gib(meminfo: Path = Path("/proc/meminfo")) -> float | None:
    if not meminfo.exists():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / (1 << 20)
    return None


def check_loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Check("loopback", False, str(error), "127.0.0.1 must be usable: bring the loopback interface up")
    return Check("loopback", True, "127.0.0.1")


def check_http_port(port: int) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            advice = "fine if this checkout's stack runs already; else the next free one will be used"
            return Check("http port", False, f"{port} is taken", advice, serious=False)
    return Check("http port", True, str(port))


def check_open_files() -> Check:
    import resource  # noqa: PLC0415 - not on every system that may ask for advice

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    advice = f"run `ulimit -n {OPEN_FILES}` first"
    fine = soft >= OPEN_FILES or soft == resource.RLIM_INFINITY
    return Check("open files", fine, f"{soft} of at most {hard}", advice, serious=False)


def check_folder(folder: Path, what: str) -> Check:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return Check(f"{what} folder", os.access(there, os.W_OK), str(folder), f"make {there} writable for you")


def check_database_user() -> Check:
    if os.geteuid() != 0:
        return Check("database user", True, "yourself")
    import pwd  # noqa: PLC0415

    known = any(entry.pw_name == "nobody" for entry in pwd.getpwall())
    return Check("database user", known, "nobody", "PostgreSQL never runs as root: create the user nobody")


def findings() -> Iterable[Check]:
    """Cheapest first; what is cached already is not counted as needed."""
    yield check_python()
    yield check_venv()
    yield check_machine()
    yield check_tools()
    yield check_database_user()
    yield check_loopback()
    yield check_http_port(int(os.environ.get("GROUNDSWELL_HTTP_PORT") or 8080))
    yield check_folder(cache_folder(), "cache")
    yield check_folder(checkout(), "checkout")
    made = (checkout() / ".venv" / ".installed").exists()
    yield check_disk(checkout(), STATE_GIB + (0 if made else ENVIRONMENT_GIB), "the environment and the state")
    built = any((cache_folder() / "weaviate").glob("*/weaviate-server"))
    yield check_disk(cache_folder(), 1 if built else BUILD_GIB, "downloads and builds")
    yield check_memory(available_memory_gib())
    yield check_open_files()


def report(checks: Iterable[Check]) -> tuple[list[str], bool]:
    """Lines to print, and whether the start may go on."""
    lines, may_start = [], True
    for check in checks:
        mark = "ok  " if check.fine else ("FAIL" if check.serious else "note")
        lines.append(f"{mark} {check.name}: {check.detail}" + ("" if check.fine else f" - {check.advice}"))
        may_start = may_start and (check.fine or not check.serious)
    return lines, may_start


def main(quiet: bool = False) -> int:
    """Prints every finding, or with `quiet` only what is wrong; returns 1 when the stack cannot start here."""
    lines, may_start = report(findings())
    for line in lines:
        if not quiet or line.startswith("FAIL"):
            sys.stdout.write(f"{line}\n")
    return 0 if may_start else 1


if __name__ == "__main__":
    sys.exit(main(quiet="--quiet" in sys.argv))
