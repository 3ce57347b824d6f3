"""A simulation, without network and clock: many proxies and endpoints in an overload, with the decisions of proxy/core.

`world` is the endpoints and the events; `proxies` what each proxy remembers and decides; `scenarios` which mechanisms
are on and what happens; `drawing` makes the plots of docs/resilience.md. `python -m bench.storm` runs all of them."""
