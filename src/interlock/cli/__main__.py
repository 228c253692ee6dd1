"""`python -m interlock.cli` is `interlock`: how `up` starts its worker, whatever the PATH says."""

from interlock.cli import main

main()
