"""The prediction server: protocol, batching, routing of releases, and the telemetry of what was answered."""
