"""What is done about endpoints that fail, and about too many requests, a file a mechanism.

`cluster_health` puts together what is thought of a cluster's endpoints: `outlier` (with `ejection` and `success_rate`),
`status_weights`, `probed` and `slow_start`; `health` is the value that every lane takes. `retry`, `backoff`, `budget`,
`deadline` and `hedge` (with `quantile`) decide about repeating a request; `circuit`, `callers` and `shedding` about
refusing it; `fault` about breaking it on purpose. Times and random numbers are arguments."""
