"""The rules of routes in C, held to the decisions in Python: the C code compiled for the test."""
