"""One small module a command, named as the command is. `options.py` has the flags that several commands share,
`output.py` what `init` prints, `from_peer.py` and `existing.py` two of its flags.
"""
