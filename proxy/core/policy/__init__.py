"""Policy as a value. `policy` says what configuration asks of destinations, `http` what routes ask of requests,
`settings` and `upstream` what TrafficPolicies ask of requests and of endpoints, `cluster` what endpoints there are;
`difference` says what changed between two policies."""
