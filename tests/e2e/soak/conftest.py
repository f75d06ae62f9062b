"""Seeds of the long fault runs: SOAK_SEED or the clock, and SOAK_ROUNDS of them."""

import os
import time

import pytest

SEED = int(os.environ.get("SOAK_SEED") or time.time())
ROUNDS = int(os.environ.get("SOAK_ROUNDS") or 1)


def pytest_report_header() -> str:
    return f"soak: seeds {SEED} to {SEED + ROUNDS - 1}; again with make soak SEED={SEED} ROUNDS={ROUNDS}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The seed stands in the name of each test."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(SEED, SEED + ROUNDS), ids=lambda seed: f"seed{seed}")
