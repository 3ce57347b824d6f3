"""Capture by eBPF. backend: what every backend offers; change: the steps of a change; instance: one capture's maps and
links; pins: its folders in bpffs; anchors: what hooks attach to; policy, render: a plan as map contents and as text;
listeners: sockets that connections are given to. direct/: the kernel's half of the direct lane.
"""
