"""Which running proxies a command asks: the options that name them, and what a shell completes of these.

How several are followed as one stands here, too; what is asked, and how the answer is shown, with each command.
"""
