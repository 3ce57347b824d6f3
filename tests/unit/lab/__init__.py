"""The tests' own tools, where they decide something: what a judge says, which skips stand, how a run ends."""
