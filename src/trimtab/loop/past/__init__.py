"""Rows as they were: what was collected, asked, answered and labelled, with nothing that was not known at the time."""
