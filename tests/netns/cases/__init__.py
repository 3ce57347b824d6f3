"""The case table: what is asked of `init`, who then dials whom, what must come of it."""
