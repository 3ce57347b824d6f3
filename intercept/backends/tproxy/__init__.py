"""Capture by TPROXY inbound, the rest as in nftables. backend: what every backend offers; policy_routing: the rule and
the route that take marked packets to this host.
"""
