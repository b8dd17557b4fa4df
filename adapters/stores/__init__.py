"""Databases that several chomps share: one module for each kind, importing nothing of the server."""
