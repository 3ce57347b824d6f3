"""Rules that name a cgroup folder which is gone.

The kernel looks the folders of all rules up again whenever a program commits a table. One rule whose folder is gone
makes every commit of that table fail, whoever makes it, until a commit takes the rule out.
"""

from collections.abc import Iterator
from typing import NamedTuple

from intercept import runs
from intercept.backends.iptables import blob, peek
from intercept.host import cgroups


class GoneRule(NamedTuple):
    """position: from 1, within the chain."""

    chain: str
    position: int
    path: str

    @property
    def may_go(self) -> bool:
        """Whether we may take it out: it is ours and its run, if it is one's, has ended. The folder of a run that
        lives may be out of our sight only."""
        owners = [part for part in self.path.split("/") if runs.is_run(part)]
        return self.chain.startswith(peek.PREFIX) and not any(runs.lives(one) for one in owners)


def find(family: int, table: str) -> list[GoneRule]:
    return list(_gone_in(blob.read_table(family, table)))


def _gone_in(chains: blob.Chains) -> Iterator[GoneRule]:
    for chain, entries in chains.items():
        for position, entry in enumerate(entries, 1):
            if entry.cgroup and _is_gone(entry.cgroup):
                yield GoneRule(chain, position, entry.cgroup)


def _is_gone(path: str) -> bool:
    if any(runs.is_run(part) and not runs.lives(part) for part in path.split("/")):
        return True  # also where cgroup v2 is not mounted, and where the folder waits to be removed
    return cgroups.find_mount_point() is not None and cgroups.id_of(path.lstrip("/")) is None
