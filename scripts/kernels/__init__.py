"""Boots other kernels on this machine's file system and runs the tests in them: `make kernels`."""
