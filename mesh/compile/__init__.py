"""Documents -> Policy, purely. What can't be honoured is noted as a warning where it stands, never dropped silently."""

from mesh.compile.policy import compiled

__all__ = ["compiled"]
