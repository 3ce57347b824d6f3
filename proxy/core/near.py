"""What was probably meant by a word that does not exist."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one; None: none is much like it."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a message: `; did you mean X?`, or nothing."""
    found = nearest(word, known)
    return "" if found is None else f"; did you mean {found}?"
