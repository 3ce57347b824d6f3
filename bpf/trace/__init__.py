"""Tracing tools, compiled on the spot by bcc. Nothing on the data path depends on this room."""
