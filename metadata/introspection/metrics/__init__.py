"""Metrics for Prometheus: what is exposed (`agent`, `tasks`, `containers`), of one `scrape`.

`exposition` makes the text. Only `scrape` may be imported where nobody has asked for metrics yet:
the client library is slow to load.
"""
