"""`python -m groundswell.generator`."""

from groundswell.common.runtime import run
from groundswell.generator.app import build

if __name__ == "__main__":
    run("generator", build)
