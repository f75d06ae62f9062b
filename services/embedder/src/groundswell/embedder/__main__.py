"""`python -m groundswell.embedder`"""

from groundswell.common.runtime import run
from groundswell.embedder.app import build

if __name__ == "__main__":
    run("embedder", build)
