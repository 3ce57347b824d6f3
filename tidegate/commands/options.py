"""init's flags, which `run`, `explain --intent-only` and `init` itself share.

Click only collects the text here. What the text means, and what is wrong with it, is `intercept.intent.parsing`'s to
say, so that a flag, a Capture document and a pod annotation are judged by the same rules.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tidegate.asking.values import words

if TYPE_CHECKING:
    from intercept.intent.intent import Intent

F = TypeVar("F", bound=Callable[..., Any])

# flag, metavar, help. Defaults stand in intercept.intent.intent and are told by `--help` through these texts.
VALUES = (
    ("--mode", "MODE", "auto, ebpf, nftables, iptables or tproxy  [auto]"),
    ("--outbound-port", "PORT", "the proxy's outbound listener  [15001]"),
    ("--inbound-port", "PORT", "the proxy's inbound listener  [15006]"),
    ("--dns-port", "PORT", "the proxy's DNS listener  [15053]"),
    ("--include-outbound-cidrs", "'*'|LIST", "destinations to capture; '*': all but loopback, empty: none  ['*']"),
    ("--exclude-outbound-cidrs", "LIST", "destinations that go direct; wins over every include"),
    ("--include-outbound-ports", "LIST", "ports captured whatever the address"),
    ("--exclude-outbound-ports", "LIST", "ports that go direct; judged first of all"),
    ("--include-inbound-ports", "'*'|LIST", "ports of the workload to capture; empty: none  ['*']"),
    ("--exclude-inbound-ports", "LIST", "ports of the workload that stay direct; wins over the include list"),
    ("--exclude-inbound-cidrs", "LIST", "sources whose connections go straight to the app"),
    ("--include-outbound-gids", "'*'|LIST", "groups whose traffic is captured  ['*']"),
    ("--exclude-outbound-gids", "LIST", "groups whose traffic goes direct"),
    ("--exclude-interfaces", "LIST", "interfaces left alone in both directions"),
    ("--virtual-interfaces", "LIST", "traffic arriving there is treated as outbound"),
    ("--proxy-uid", "LIST", "users whose traffic is never captured  [1337]"),
    ("--proxy-gid", "LIST", "groups whose traffic is never captured  [1337]"),
    ("--proxy-mark", "N", "socket mark of traffic that is never captured"),
    ("--cgroup", "PATH", "capture only the processes in this cgroup v2 folder"),
    ("--self-calls", "HOW", "proxy, bypass or hairpin: the workload's calls to its own addresses  [proxy]"),
    ("--dns", "WHICH", "off, resolvers or all  [off]"),
    ("--ipv6", "HOW", "auto, required or off  [auto]"),
    ("--when-down", "HOW", "closed or open: new connections while no proxy listens  [closed]"),
    ("--tproxy-mark", "N", "packet mark of tproxy mode  [1337]"),
    ("--tproxy-table", "N", "routing table of tproxy mode  [133]"),
)
REPEATED = (("--exclude-outbound-for", "PROTO:PORTS:UIDS", "ports that these users reach directly (repeatable)"),)
SWITCHES = (("--drop-invalid", "drop packets that conntrack calls INVALID"),)


WORDS = {
    "--mode": ("auto", "ebpf", "nftables", "iptables", "tproxy"),
    "--self-calls": ("proxy", "bypass", "hairpin"),
    "--dns": ("off", "resolvers", "all"),
    "--ipv6": ("auto", "required", "off"),
    "--when-down": ("closed", "open"),
}
"""For shells; what is allowed `intercept.intent.parsing` says."""
LANES = ("auto", "direct", "splice", "parsed")


def parameter_name(flag: str) -> str:
    """The keyword under which click hands over a flag's value."""
    return flag.removeprefix("--").replace("-", "_")


def intent_options(command: F) -> F:
    """Add every flag that says what to capture. Read them back with `raw_flags`."""
    for flag, help_text in reversed(SWITCHES):
        command = click.option(flag, is_flag=True, default=False, help=help_text)(command)
    for flag, metavar, help_text in reversed(REPEATED):
        command = click.option(flag, metavar=metavar, multiple=True, help=help_text)(command)
    for flag, metavar, help_text in reversed(VALUES):
        complete = words(*WORDS[flag]) if flag in WORDS else None
        command = click.option(flag, metavar=metavar, default=None, help=help_text, shell_complete=complete)(command)
    return command


def raw_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Take the intent's flags out of click's keywords: name -> text, texts or bool; absent if not given."""
    flags: dict[str, Any] = {}
    for flag, *_ in (*VALUES, *REPEATED, *SWITCHES):
        value = given.pop(parameter_name(flag))
        if value not in (None, (), False):
            flags[flag] = value
    return flags


def intent_of(flags: dict[str, Any]) -> "Intent":
    """The intent that these flags ask for. Raises BadInput, naming the flag and the token."""
    from intercept.intent.from_flags import intent_from_flags

    if "--cgroup" not in flags:
        return intent_from_flags(flags)
    from intercept.errors import BadInput
    from intercept.host import cgroups

    mount = cgroups.find_mount_point()
    intent = intent_from_flags(flags, cgroup_mount=None if mount is None else str(mount))
    if mount is not None and intent.cgroup is not None and not cgroups.exists(intent.cgroup):
        raise BadInput("--cgroup", flags["--cgroup"], f"a cgroup v2 folder that exists below {mount}")
    return intent


def config_option(command: F) -> F:
    return click.option(
        "--config",
        multiple=True,
        metavar="FILE|DIR",
        help="configuration documents (repeatable): a Capture stands for these flags, which win over it",
    )(command)


def with_documents(paths: tuple[str, ...], flags: dict[str, Any], *, capture_required: bool) -> dict[str, Any]:
    """The flags, with those of the Capture document in `paths` where the command line does not give them.

    Raises ConfigError with everything that is wrong in the documents, whatever their kind.
    """
    if not paths:
        return flags
    from mesh.capture import merged

    found, warnings = merged(paths, flags, capture_required=capture_required)
    for warning in warnings:
        click.echo(str(warning), err=True)
    return found


def netns_option(command: F) -> F:
    return click.option("--netns", metavar="NAME|PATH", help="work in that network namespace  [own]")(command)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="machine-readable result on stdout")(command)


def wait_option(command: F) -> F:
    return click.option(
        "--wait", metavar="S", default="5", help="seconds to wait for another tool's xtables lock  [5]"
    )(command)


def seccomp_option(command: F) -> F:
    return click.option(
        "--seccomp",
        type=click.Choice(("on", "off")),
        default="on",
        help="whether the processes that stay are limited to the system calls that they need  [on]",
    )(command)


def one_of(flag: str, text: str, allowed: tuple[str, ...]) -> str:
    from intercept.errors import BadInput

    if text not in allowed:
        raise BadInput(flag, text, " or ".join(allowed))
    return text
