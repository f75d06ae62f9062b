"""How the command is typed here, so that what a hint says works as it stands."""

import shutil
import sys
from pathlib import Path

NAME = "groundswell"


def command() -> str:
    """Its name where the PATH leads to it, else where it lies, from the working folder if it is below that."""
    script = Path(sys.executable).with_name(NAME)
    found = shutil.which(NAME)
    if not script.exists() or (found and script.samefile(found)):
        return NAME
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)


def hint(arguments: str) -> str:
    """A command line to type, marked as one."""
    return f"`{command()} {arguments}`"
