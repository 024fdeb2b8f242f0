"""The networks of this host: which there are, sandboxes in them, and what watches over them."""
