"""A plugin as a program: its process, and the agent's end when that does the work."""
