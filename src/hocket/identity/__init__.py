"""Who somebody is and what they may do, for every way in: tokens, API keys, cookies."""
