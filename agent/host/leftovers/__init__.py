"""What is left of tasks that are gone, or that nobody knows; and what doctor finds."""
