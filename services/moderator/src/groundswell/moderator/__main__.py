"""The moderator process."""

from groundswell.common.runtime import run
from groundswell.moderator.app import build

if __name__ == "__main__":
    run("moderator", build)
