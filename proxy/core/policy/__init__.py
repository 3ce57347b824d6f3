"""Policy as a value: `policy` says what configuration asks of destinations, `difference` what changed between two."""
