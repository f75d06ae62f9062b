"""`python -m groundswell.retriever`"""

from groundswell.common.runtime import run
from groundswell.retriever.app import build

if __name__ == "__main__":
    run("retriever", build)
