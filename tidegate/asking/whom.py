"""Which proxies a command that looks at running ones asks: by admin address, enrolment or run, or all of this host."""

from typing import TYPE_CHECKING, Any, NamedTuple

from tidegate.admin import DEFAULT

if TYPE_CHECKING:
    from tidegate.supervise.scope import Going


class Whom(NamedTuple):
    """name: what is shown of it where several are asked. netns: where its admin address is; None: here. document:
    what is captured for it, as `intercept.plan.stored` writes it; None: what `init` put in force there."""

    name: str
    admin: str
    netns: str | None
    document: str | None = None


def asked(given: dict[str, Any]) -> list[Whom]:
    """Takes the options out of click's keywords. Raises BadInput where they contradict each other or mean nothing."""
    from intercept.errors import BadInput

    admin, netns = given.pop("admin"), given.pop("netns")
    enrolment, run, everything = given.pop("enrolment"), given.pop("run_name"), given.pop("everything", False)
    ways = (bool(everything), enrolment is not None, run is not None, admin is not None or netns is not None)
    if sum(ways) > 1:
        allowed = "one of --all, --enrolment NAME, --run PID, and --admin with --netns"
        raise BadInput("--all, --enrolment, --run", "several of them", allowed)
    here = Whom("here", admin or DEFAULT, netns)
    if everything:
        return [here, *enrolled(), *(_of_run(one) for one in going())]
    if enrolment is not None:
        return [_chosen(enrolment)]
    return [here] if run is None else [_run(run)]


def enrolled() -> list[Whom]:
    """The proxies of enrolments that serve."""
    from onboard.enroll import registry

    return [Whom(one.name, one.admin, one.netns, one.document) for one in registry.every() if one.lives and one.admin]


def going() -> "list[Going]":
    """Runs in progress."""
    from intercept.host import cgroups
    from tidegate.supervise import scope

    mount = cgroups.find_mount_point()
    return [] if mount is None else scope.going(mount)


def _chosen(enrolment: str) -> Whom:
    from intercept.errors import BadInput

    found = enrolled()
    for one in found:
        if one.name == enrolment:
            return one
    from proxy.core.near import meant

    names = [one.name for one in found]
    shown = ", ".join(names) or "none at the moment"
    raise BadInput("--enrolment", enrolment, f"one of those that `tidegate ls` shows: {shown}{meant(enrolment, names)}")


def _run(text: str) -> Whom:
    """By the pid of `tidegate run`, or of a process of its command."""
    from intercept.errors import BadInput

    found = going()
    for one in found:
        if text in (str(one.pid), one.name) or (text.isdigit() and int(text) in one.command):
            return _of_run(one)
    shown = ", ".join(str(one.pid) for one in found) or "none at the moment"
    raise BadInput("--run", text, f"the pid of a `tidegate run` in progress, or of a process of its command: {shown}")


def _of_run(one: "Going") -> Whom:
    return Whom(f"run {one.pid}", one.admin, one.netns, one.document)
