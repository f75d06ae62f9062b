"""One place that says how many threads the model work of this process may use."""

import contextlib
import os


def set_threads(count: int) -> None:
    """Limit torch, its OpenMP runtime and the tokenizers to `count` threads. Call it before a model is loaded.

    Two torch processes that each take all cores slow each other down by far more than half; who starts the processes
    divides one budget between them. Between operators one thread is enough: batches run one after the other.
    """
    if count < 1:
        raise ValueError(f"{count} threads: at least one is needed")
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[variable] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch  # noqa: PLC0415 - OpenMP reads its variables when torch is imported

    torch.set_num_threads(count)
    with contextlib.suppress(RuntimeError):  # it can be set once only, and never after work began
        torch.set_num_interop_threads(1)
