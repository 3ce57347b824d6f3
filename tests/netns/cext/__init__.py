"""The engine and its sockets where a route, a netfilter rule or a BPF program is in the path."""
