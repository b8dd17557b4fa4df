"""What the vendors of subscriptions say about accounts, each way to sign in a module of pure functions: see `seen`."""
