"""Long runs against a real server that is killed, reloaded and worn out: `make campaign`."""
