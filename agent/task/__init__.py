"""Thinks: what a task is, what is known of it, and what should happen next.

Everything here is pure: values in, values out, no clock, no I/O, no logging. What to *do* about a
decision belongs to ``agent.host``; when to decide again belongs to ``agent.engine``.
"""
