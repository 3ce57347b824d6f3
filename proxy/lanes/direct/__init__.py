"""The direct lane: the kernel balances at connect(), with no proxy in the path. `lane` is what the proxy knows of it,
`telling` tells its companion of changes, `numbers` names services by numbers that outlive a proxy."""
