"""The process that holds the model: `python -m groundswell.generator.adapters.torch_worker SPEC`.

Commands come on standard input, events go to standard output, a line each (worker_messages.py). It ends when its input
does, or when its parent dies; signals of the terminal are for the parent.
"""

import ctypes
import os
import queue
import signal
import sys
import threading
import time
from typing import BinaryIO

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from groundswell.common.contracts.generation import ChatMessage
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier
from groundswell.generator.adapters.batch import Batch
from groundswell.generator.adapters.chat_tokens import ChatTokens
from groundswell.generator.adapters.torch_rows import TorchRows
from groundswell.generator.adapters.worker_messages import (
    HELD_MODEL,
    TO_WORKER,
    HeldModel,
    Loaded,
    Stepped,
    Submit,
    ToWorker,
    to_line,
)
from groundswell.generator.domain.jobs import AttemptKey, GenerationJob

_PR_SET_PDEATHSIG = 1


def main() -> None:
    spec = HELD_MODEL.validate_json(sys.argv[1])
    _depend_on_parent()
    events = _own_standard_output()
    commands: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(sys.stdin.buffer, commands), daemon=True).start()
    with torch.inference_mode():
        batch = load(spec)
        _warm_up(batch)
        _tell(events, Loaded(batch.context_tokens))
        while True:
            _apply(batch, commands)
            began = time.perf_counter()
            _tell(events, Stepped(batch.step(), time.perf_counter() - began))


def load(spec: HeldModel) -> Batch:
    """The model in `spec.folder`, ready to take jobs."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(spec.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(spec.folder, local_files_only=True)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        spec.folder, dtype=_dtype(spec, device), local_files_only=True, use_safetensors=True
    )
    model.to(device).eval()  # type: ignore[arg-type]
    return Batch(
        tokens=ChatTokens(tokenizer, _end_ids(model, tokenizer)),
        rows=TorchRows(model),
        slots=spec.slots,
        context_tokens=min(spec.context_tokens, model.config.get_text_config().max_position_embeddings),
        prefill_tokens=spec.prefill_tokens,
    )


def _dtype(spec: HeldModel, device: torch.device) -> torch.dtype:
    if spec.dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[spec.dtype]
    capabilities = torch.cpu.get_capabilities()
    has_bfloat16 = device.type == "cuda" or any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if has_bfloat16 else torch.float32


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ends = configured if isinstance(configured, list) else [configured]
    return {end for end in (*ends, tokenizer.eos_token_id) if isinstance(end, int)}


def _warm_up(batch: Batch) -> None:
    hello = (ChatMessage(role="user", content="Hello"),)
    batch.submit(GenerationJob(AttemptKey(RequestId("warm-up"), 0), Tier.INTERACTIVE, 0.0, hello, max_tokens=2))
    while batch.busy:
        batch.step()


def _apply(batch: Batch, commands: "queue.SimpleQueue[ToWorker]") -> None:
    """Do what was asked; with nothing else to do, wait for it."""
    while not (batch.busy and commands.empty()):
        command = commands.get()
        if isinstance(command, Submit):
            batch.submit(command.job)
        else:
            batch.cancel(command.key)


def _tell(events: BinaryIO, message: Loaded | Stepped) -> None:
    events.write(to_line(message))
    events.flush()


def _read_commands(lines: BinaryIO, commands: "queue.SimpleQueue[ToWorker]") -> None:
    for line in lines:
        commands.put(TO_WORKER.validate_json(line))
    os._exit(0)  # the parent is gone: no step is worth finishing


def _own_standard_output() -> BinaryIO:
    """The way to the parent; whatever else is printed goes to standard error."""
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


def _depend_on_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
