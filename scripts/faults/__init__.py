"""`make faults`: injects faults into a running capture and proxy, for real.

docs/reliability.md is written from what was seen. Each fault is a function that gets a lab of its own; `catalogue.py`
has the list.
"""
