"""Where policy comes from, as the proxy sees it: a source pushes to the `feed` what it has read, or why it is refused.
`follow` watches files in a thread of its own; other sources push when they are told something."""
