"""The parsed lane: requests that the engine frames and decides. Rules go down to it, and what its table can't say comes
up here to be decided."""
