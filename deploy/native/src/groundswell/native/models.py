"""The models of a stack, pulled by the encoders' model store in a process of its own: no torch is loaded here."""

import subprocess
import sys
from os import environ

from groundswell.common.settings import PREFIX
from groundswell.native.errors import ProvisionError
from groundswell.native.settings import StackSettings

EMBEDDER = "minilm"
NULL = "null"


def needed(settings: StackSettings) -> list[str]:
    return [EMBEDDER] if settings.model == NULL else [EMBEDDER, settings.model]


def pull(names: list[str], settings: StackSettings) -> None:
    """The store shows its own progress and goes on where an interrupted pull stopped."""
    command = [sys.executable, "-m", "groundswell.encoders.store", "pull", *names]
    env = {**environ, f"{PREFIX}MODELS": str(settings.models)}
    if subprocess.run(command, check=False, env=env).returncode:
        raise ProvisionError(f"models not pulled: {', '.join(names)}; the reason is above, running it again goes on")
