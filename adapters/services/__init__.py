"""Services of others that extensions ask."""
