"""The control socket's requests."""
