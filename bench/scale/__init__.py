"""What does not compare with others: large configurations, and what peers can do to the telemetry port."""
