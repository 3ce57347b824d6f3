"""The kernel lane of an ebpf capture: services that connect() balances (services, values), inbound ports that need no
proxy (inbound), the connections that are open (live), and what `explain` says of all this (told).
"""
