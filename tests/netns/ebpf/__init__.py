"""What only eBPF capture has: pinned maps and links, sockets of every kind, lifetimes."""
