"""Documents -> Policy, purely. `compiler` puts it together Service by Service: `stock` tells which documents changed,
`tables` what policies (`traffic`, `settings`, `upstream`) and routes (`attachment`, `http_routes`, `l4_routes`) say of
a Service, `services` makes its `ports`, `contribution` what it adds to the policy, `claims` which Service holds an
address. What can't be honoured is noted as a warning where it stands, never dropped silently; `in_force` lists what no
lane obeys yet."""
