"""What people write for agents, and where it stands."""
