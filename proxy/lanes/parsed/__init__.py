"""The parsed lane: requests that the engine frames and decides. Rules go down to it, what its table can't say comes up
here to be decided, and `spoken` says what is told of a connection once it is known what it speaks."""
