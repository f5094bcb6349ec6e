"""What is done to telemetry that lies there: compacted, verified, deleted when it is old, freed of a person."""
