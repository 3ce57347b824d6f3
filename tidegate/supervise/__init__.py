"""`tidegate run`: one supervisor, its guardian, a proxy and the command, and the kernel objects that die with them.

supervisor ── forks ──> guardian (own session; outlives the supervisor only to clean up after it)
    │
    ├── starts ───────> proxy (own session; ends when its control socket closes)
    └── forks ────────> the command (the caller's process group and terminal)

cgroup  tidegate-run-PID-START-PIDNS/    made by the supervisor, removed by it or by the guardian
          ├── command/                   captured: the command and everything it starts
          └── proxy/                     not captured
"""
