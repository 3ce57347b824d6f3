"""Capture. An intent (what the user asks for) becomes a plan (ordered rules), and a backend puts the plan in force.

`capture` changes what is in force, `in_force` reads it back, `status` and `explain_here` tell about it. All of it works
on the network namespace that the calling thread is in.
"""
