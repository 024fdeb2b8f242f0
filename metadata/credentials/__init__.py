"""Credentials of tasks' roles: kept in memory, refreshed in time, shown to whom they belong.

keys         what credentials are, who needs them, and how obtaining them fails
roles        the roles file: which source serves a role (`sections`, `process`, `sts`)
program      a program that is run for what it prints
private      files that hold secrets
vault        what all tasks have now, and its refreshing
room         the routes of versions 1 and 2
audit        the log of who asked
"""
