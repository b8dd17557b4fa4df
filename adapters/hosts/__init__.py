"""What local model servers say about themselves, each a module of functions over one way to ask: see `seen`."""
