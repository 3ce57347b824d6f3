"""A folder a lane, and what they share. `publish` puts policy and health into all of them by difference; `held` keeps
destinations punted while probes are expected; `drain` ends well; `counting` tells the metrics what the engine and the
kernel have counted; `options` and `terms` translate settings and names to those of the engine."""
