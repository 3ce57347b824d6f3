"""The benchmarks' own arithmetic and their tables."""
