"""Who a client is, and who may do what: one place for every way in."""
