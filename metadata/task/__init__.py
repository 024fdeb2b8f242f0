"""Tasks and containers as versions 2, 3 and 4 of the task metadata endpoint show them."""
