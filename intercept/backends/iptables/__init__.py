"""Capture by iptables-legacy. backend: what every backend offers; generation, survey, seal: a set of rules as made, as
found, as checked; gone: rules that keep everybody from changing a table; build, match, parts, rule, text: a plan as
rules; tables, blob, peek, ipset, lock, iptc_import: the kernel's interfaces.
"""
