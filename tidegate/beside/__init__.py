"""Processes that stay beside the proxy, with privileges that the proxy has given up.

`companion.py` watches the capture that feeds the proxy, `courier.py` carries the direct lane's services down to the
kernel and its counters up, `keeper.py` renews the sign of life of `--when-down open`, and `privileges.py` takes away
what each of them does not need.
"""
