"""Manifests and compose files: what goes in, what comes out, and what is refused."""
