"""What commands that talk to a running proxy may meet, with the exit codes of the contract."""


class Unreachable(Exception):
    """No proxy answers at the admin address (exit 1)."""

    exit_code = 1

    def __init__(self, address: str, why: Exception) -> None:
        super().__init__(
            f"no proxy answers at {address} ({why}): is it running in this network namespace? "
            "--admin names another address, --netns another namespace"
        )


class Refused(Exception):
    """The question is wrong (exit 2): the message says how."""

    exit_code = 2


class Failed(Exception):
    """The proxy could not do what was asked (exit 1); nothing has changed."""

    exit_code = 1


class Forbidden(Exception):
    """The proxy takes changes from root and from its own user only (exit 4)."""

    exit_code = 4
