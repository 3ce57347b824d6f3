"""Putting capture in force, replacing it, removing it; hosts that lack something."""
