"""The programs in the kernel: one hook a file in hooks/, what they share in include/; what user space needs of them:
where each attaches (attach), keys and values of the maps (layout, direct_layout), loading (loader), pins (bpffs),
compiling (build). trace/ has the tools that are compiled where they run.
"""
