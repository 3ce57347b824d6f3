"""Where documents come from. A source reads, validates and compiles, and hands the proxy whole policies only."""
