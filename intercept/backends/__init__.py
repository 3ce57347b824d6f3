"""Mode -> the module that puts a plan in force. Modules are imported when asked for: each costs start-up time.

Every module offers the same functions; `intercept.backends.contract` says what each means.
"""

from importlib import import_module

from intercept.backends.contract import Backend
from intercept.errors import Unsupported
from intercept.intent.intent import Mode

MODULES = {
    Mode.EBPF: "intercept.backends.ebpf.backend",
    Mode.NFTABLES: "intercept.backends.nftables.backend",
    Mode.IPTABLES: "intercept.backends.iptables.backend",
    Mode.TPROXY: "intercept.backends.tproxy.backend",
}


def backend(mode: Mode) -> Backend:
    """Raises Unsupported where the backend isn't part of this build."""
    name = MODULES[mode]
    try:
        module: Backend = import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and missing.name.startswith(("intercept.", "bpf", "cext")):
            raise Unsupported(f"{mode} mode is not built into this installation ({missing.name})") from None
        raise Unsupported(f"{mode} mode needs the Python module {missing.name}, which is not installed") from None
    return module
