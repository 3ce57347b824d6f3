"""Bringing a workload under tidegate and out again: changes to the files that describe it.

`text/` inserts into YAML and removes from it without touching anything else. `kubernetes/` knows pods and the kinds
that make them. `compose/` knows docker-compose files.
"""
