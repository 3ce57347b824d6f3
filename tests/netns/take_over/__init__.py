"""A proxy that takes over from another one, under traffic, and everything that can go wrong with it."""
