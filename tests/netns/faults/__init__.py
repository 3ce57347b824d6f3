"""The faults of `make faults` that are quick enough for every run."""
