"""A point source in a list of events, under a spatial prior."""
