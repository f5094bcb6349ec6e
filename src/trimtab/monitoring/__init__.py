"""What becomes of a live release: drift, concept drift, live verdicts, resources, and value in money."""
