"""One file a scenario: what a process does in it, and how the conductor leads all of them."""
