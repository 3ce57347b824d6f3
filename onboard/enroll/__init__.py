"""Enrolment of services that run: which processes a selector means, how they are moved into a folder of ours and back,
and what is written down about each enrolment. The process that serves one is tidegate/supervise/enrolled.py."""
