"""Where sandboxes for agents can be had: one module for each kind of address, importing nothing of the server."""
