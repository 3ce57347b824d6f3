"""All faults, in the order of the page."""

from scripts.faults import churn, clocks, disks, memory, network, packets, processes, resources
from scripts.faults.model import FAULTS

__all__ = ["FAULTS", "churn", "clocks", "disks", "memory", "network", "packets", "processes", "resources"]
