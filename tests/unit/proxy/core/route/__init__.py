"""Rules of HTTPRoutes as pure decisions."""
