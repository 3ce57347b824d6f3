"""What happens before the event loop exists: descriptors, listening sockets, and giving up privileges."""
