"""The sidecar: it receives captured connections, recovers where they were meant to go, decides, and forwards.

`sidecar` puts the parts together and `serve` runs them. `core/` decides and does nothing else; `lanes/` carry what was
decided to those who move bytes; `feed/` takes in policy; `control/` talks to the supervisor and the companion; `admin/`
and `telemetry/` tell people and machines; `start/` opens sockets and gives privileges up.
"""
