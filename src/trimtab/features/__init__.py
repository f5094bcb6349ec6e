"""Feature views: the newest row that was known at each prediction's moment, joined to every row."""
