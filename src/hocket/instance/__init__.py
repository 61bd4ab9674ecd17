"""A running Hocket: the composition root, which picks and joins the parts."""
