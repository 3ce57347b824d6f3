"""Text of others, for terminals and pages: what a terminal obeys or a reader cannot see is shown as an escape."""


def printable(text: str) -> str:
    """Control characters, bidirectional overrides, line separators and lone surrogates become `\\xNN` or longer."""
    return text if text.isprintable() else "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
