"""All faults, in the order of the page."""

from scripts.faults import clocks, disks, memory, network, processes, resources
from scripts.faults.model import FAULTS

__all__ = ["FAULTS", "clocks", "disks", "memory", "network", "processes", "resources"]
