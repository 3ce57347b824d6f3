"""What sk_msg redirection between two sockets of one host would gain, and what it breaks: the ground of ADR 6.

`python -m bench.sockmap` asks the kernel that it runs on. No part of tidegate: the accelerator here stands for a
foreign one, whose sockets our engine may be given.
"""
