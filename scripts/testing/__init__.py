"""`make test`: the steps of a whole test run, what is run again, and the lines that a run ends with."""
