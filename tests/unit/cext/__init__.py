"""The engine's C code through its binding, on loopback sockets."""
