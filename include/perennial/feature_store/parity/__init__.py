"""Online/offline consistency: what the online store serves, compared with the lake, value for value."""
