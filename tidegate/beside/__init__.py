"""Processes that stay beside the proxy, with privileges that the proxy has given up.

`warden.py` keeps a companion beside the proxy, `companion.py` watches the capture that feeds it, `courier.py` carries
the direct lane's services down to the kernel and its counters up, `keeper.py` renews the sign of life of
`--when-down open`. `helper.py` starts wardens for a proxy that was never root; `left_behind.py` has what it shares with
the keeper. `privileges.py` takes away what each of them does not need, and `calls.py` has the system calls that are
left to it.
"""
