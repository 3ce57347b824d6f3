"""The C engine and its binding: threads that accept, connect and relay, without Python and without its lock.

`engine.h` is the whole interface. Folders, from what knows nothing to what knows all: `base/` (addresses, clocks,
queues, pools, timers), `decide/` (verdicts and the table that workers read), `relay/` (a connection's two sides and the
bytes between them), `tell/` (records, log lines, counters), `accept/` (listening sockets), and the workers' loop beside
them; `http/` detects protocols and frames HTTP/1. In Python: `engine` (relays of sockets that the caller has),
`acceptor` (listeners and verdicts), `values` and `layout`.
"""
