"""A stack of the bench's own: a temporary home and a free port, removed at the end whatever happens."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from groundswell.native import ports
from groundswell.native.completeness import Completeness
from groundswell.native.layout import Home

FIRST_PORT = 18_600
COMPLETE_WITHIN_S = 180.0
_OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKEFILE_LIST"}


@dataclass(frozen=True)
class OwnStack:
    """`env` is complete: what its processes and those of `make` are to see of the shell, and where the stack lies."""

    checkout: Path
    home: Home
    env: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.env['GROUNDSWELL_HTTP_PORT']}"

    @property
    def admin_key(self) -> str:
        return (self.home.secrets / "admin.key").read_text(encoding="utf-8").strip()

    def native(self, *arguments: str) -> None:
        """Raises CalledProcessError when the command fails; what it says is shown."""
        command = [sys.executable, "-m", "groundswell.native", *arguments]
        subprocess.run(command, check=True, env=self.env, cwd=self.checkout, stdout=sys.stderr)

    def wait_until_complete(self) -> None:
        """Every process ready and the public port too. Raises TimeoutError with what lacks."""
        deadline = time.monotonic() + COMPLETE_WITHIN_S
        completeness = Completeness(self.home)
        while lacking := completeness.lacking():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the stack is not ready: {lacking}")
            time.sleep(0.1)


@contextmanager
def own_stack(checkout: Path) -> Iterator[OwnStack]:
    """Nothing runs yet: the first command starts it. Ctrl-C and SIGTERM end the block like an error does."""
    with interruptible(), tempfile.TemporaryDirectory(prefix="groundswell-bench-") as folder:
        Path(folder).chmod(0o755)
        home = Home.at(Path(folder) / "home")
        stack = OwnStack(checkout, home, environment(home.path))
        try:
            yield stack
        finally:
            undisturbed(lambda: stack.native("reset"))


def environment(home: Path, **changes: str) -> dict[str, str]:
    """The shell's variables, less those that an outer make leaves."""
    return {name: value for name, value in os.environ.items() if name not in _OF_MAKE} | {
        "GROUNDSWELL_HOME": str(home),
        "GROUNDSWELL_HTTP_PORT": str(ports.next_free(FIRST_PORT)),
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def forget_other_stacks() -> None:
    """What points to another stack, its components or its model does not count here, nor for the children."""
    for name in [name for name in os.environ if name.startswith("GROUNDSWELL_")]:
        del os.environ[name]


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def undisturbed(clean_up: Callable[[], object]) -> None:
    """A second Ctrl-C does not leave half of it behind: the children are told to ignore it as well."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        clean_up()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
