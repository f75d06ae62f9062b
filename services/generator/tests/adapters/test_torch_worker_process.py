"""The life of the model's process beside that of its parent."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from groundswell.common.settings import default_models_folder
from groundswell.encoders.store import locate
from groundswell.generator.adapters.worker_messages import HELD_MODEL, HeldModel

pytestmark = [pytest.mark.models, pytest.mark.timeout(120)]

PARENT = """
import asyncio, sys
from groundswell.generator.adapters.torch_engine import TorchEngine, worker_command
from groundswell.generator.adapters.worker_messages import HELD_MODEL

async def main():
    engine = TorchEngine(worker_command(HELD_MODEL.validate_json(sys.argv[1])))
    await engine.start()
    print("torch" in sys.modules, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_process_outlives_signals_of_the_terminal_and_dies_with_its_parent_which_never_imports_torch() -> None:
    held = HeldModel(folder=str(locate("smollm2-135m", models_dir=default_models_folder())))
    spec = HELD_MODEL.dump_json(held).decode()
    command = [sys.executable, "-c", PARENT, spec]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "False\n"
        child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text(encoding="ascii"))
        for ignored in (signal.SIGINT, signal.SIGTERM):
            os.kill(child, ignored)
        exited = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        assert select.select([exited], [], [], 20)[0], "the worker outlived its parent by 20 s"
        os.close(exited)
