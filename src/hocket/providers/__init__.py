"""Ways to devices: one file each."""
