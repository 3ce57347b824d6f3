"""Admin and telemetry endpoints: what they answer, and to whom."""
