"""What a policy becomes in the lanes that decide without Python: `to_engine` makes rulings for the engine's verdict
table, `to_kernel` services and ports for the direct lane; `kernel_messages` is how the latter travel to the companion
and what comes back."""
