"""Great Expectations: its suites as rules and requirements, and the other way round."""
