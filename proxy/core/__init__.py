"""Pure decisions: values in, values out. Nothing here does I/O, reads a clock or draws a random number. `policy` is
what configuration says, `decide` what becomes of a connection, `balance` which endpoint it gets, `resilience` what is
done about endpoints that fail, `route` how requests match, `lower` what policy becomes in the engine and in the kernel,
`report` how it is told."""
