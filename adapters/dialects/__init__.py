"""The dialects of model APIs, each a module of pure functions over one canonical form: see `form`."""
