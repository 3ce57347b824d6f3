"""A small network with real servers in it: what `make demo` shows, and what tests/e2e tests with."""
