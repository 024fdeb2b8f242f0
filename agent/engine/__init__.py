"""Keeps every plan going: one supervisor per task, the store, the feed, the bell.

What is decided stands in ``agent.task``; how it is carried out in ``agent.host``, which nothing
here imports: the composition root hands the engine a ``Host``.
"""
