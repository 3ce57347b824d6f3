"""Whether a mode may have left something here, without importing its backend. Cheap; errs towards yes."""

import os
import re

from intercept.host import privilege
from intercept.intent.intent import Mode

_PIN_FOLDER = "tidegate"


def may_have(mode: Mode) -> bool:
    match mode:
        case Mode.EBPF:
            return any(os.path.isdir(os.path.join(mount, _PIN_FOLDER)) for mount in _bpf_mounts())
        case Mode.TPROXY:
            # Routes of ours stand in a table of their own. The kernel goes on naming a table that has become empty.
            return re.search(r"^Id -?\d+:$", _text("/proc/thread-self/net/fib_trie"), re.MULTILINE) is not None
        case Mode.IPTABLES:
            from intercept.backends.iptables import peek

            # Without CAP_NET_RAW tables can't be read, but rules of ours never stand without an ipset of ours.
            blind = not privilege.has(privilege.NET_RAW) and iptables_tables_loaded()
            return peek.anything_of_ours() or ((blind or peek.has_ipset()) and _sets_of_ours())
        case Mode.NFTABLES | Mode.AUTO:
            return True


def iptables_tables_loaded() -> bool:
    return any(_text(f"/proc/thread-self/net/{names}") for names in ("ip_tables_names", "ip6_tables_names"))


def _sets_of_ours() -> bool:
    from intercept.backends.iptables.ipset import Ipset
    from intercept.backends.iptables.peek import PREFIX

    with Ipset() as ipset:
        return any(name.startswith(PREFIX) for name in ipset.names())


def _bpf_mounts() -> list[str]:
    found = []
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("bpf "):
            found.append(before.split(" ")[4])
    return found


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
