"""Features that the caller does not send: looked up by entity, as they were known at the prediction's moment."""
