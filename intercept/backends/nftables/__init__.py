"""Capture by nftables, in one table of ours. backend: what every backend offers; text, hooks, match, elements: a plan
as commands for nft; found, listing: a table as it is in the kernel; session: libnftables; trial: whether it works here.
"""
