"""What `tidegate support` puts into its archive: gathered piece by piece, redacted, and packed.

A piece that can't be had is named with the reason and keeps no other from being there.
"""
