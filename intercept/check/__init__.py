"""Proof that the capture in force works: probes through it, and a witness at the listener for each of them."""
