"""Runs the orchestrator."""

from groundswell.common.runtime import run
from groundswell.orchestrator.app import build

if __name__ == "__main__":
    run("orchestrator", build)
