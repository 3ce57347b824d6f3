"""The user that `run --user` starts the command as."""

import grp
import os
import pwd
from typing import NamedTuple

from intercept.errors import BadInput

_LARGEST_ID = 4294967294
ALLOWED = "USER or USER:GROUP, names or numbers that this host knows"


class User(NamedTuple):
    """groups: the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    def become(self) -> None:
        """Take this identity for good. Raises OSError without CAP_SETUID and CAP_SETGID."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def parse(text: str) -> User:
    """`--user`'s value. A user's groups are those that the host's database gives it; one that is a number without an
    entry there has no group but the one given, or the one of the same number. Raises BadInput."""
    user, colon, group = text.partition(":")
    entry = _user_entry(user)
    if entry is None:
        if not _is_id(user):
            raise BadInput("--user", text, ALLOWED)
        uid = gid = int(user)
        groups: tuple[int, ...] = ()
    else:
        uid, gid = entry.pw_uid, entry.pw_gid
        groups = tuple(os.getgrouplist(entry.pw_name, gid))
    if colon:
        gid = _group_id(group, text)
        groups = ()
    return User(uid, gid, groups or (gid,))


def _user_entry(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(user)) if _is_id(user) else pwd.getpwnam(user)
    except KeyError:
        return None


def _group_id(group: str, text: str) -> int:
    if _is_id(group):
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise BadInput("--user", text, ALLOWED) from None


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= _LARGEST_ID
