"""The lab: throwaway network namespaces with real servers, clients and a recording proxy in them.

A test asks for a `Lab` (fixture `lab`), acts through `Lab.actor(...)`, runs the command line with `Lab.tidegate(...)`
and compares `Lab.snapshot()`s. Nothing in here mocks the kernel, and nothing outlives the session.
"""

from tests.lab.lab import Lab

__all__ = ["Lab"]
