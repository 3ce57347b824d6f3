"""Detection and framing of HTTP/1: the C code compiled for the test, driven byte by byte."""
