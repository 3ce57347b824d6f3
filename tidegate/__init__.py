"""The front door: it reads the command line and the configuration, and puts the other rooms together.

`cli.py` finds a command in `commands/`. `supervise/` is what `tidegate run` does. `beside/` holds the processes of ours
that stay beside a proxy. `processes.py` and `netns.py` are the few Linux calls that all of them need.
"""
