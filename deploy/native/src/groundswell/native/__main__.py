"""`python -m groundswell.native`: the stack of one machine, from a terminal or from make."""

from groundswell.native.terminal import main

main()
