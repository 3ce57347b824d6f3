"""A process that the user names."""

from intercept.errors import BadInput


def process_id(text: str) -> int:
    """`--pid`. Raises BadInput unless such a process runs."""
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) > 0:
        try:
            with open(f"/proc/{int(text)}/stat", "rb"):
                return int(text)
        except OSError:
            raise BadInput("--pid", text, "the number of a process that runs, as seen from here") from None
    raise BadInput("--pid", text, "the number of a process that runs, as seen from here")
