"""Who tells the proxy what to do from beside it: the supervisor and the companion over inherited sockets, tools over a
named one. The channel (JSON lines), the operations that it carries, accepting, and signals."""
