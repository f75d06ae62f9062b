"""`python -m groundswell.ingest`."""

from groundswell.common.runtime import run
from groundswell.ingest.app import build

if __name__ == "__main__":
    run("ingest", build)
