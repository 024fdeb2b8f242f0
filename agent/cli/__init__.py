"""The command line: one file per verb, a client of the control API and of nothing else.

The exception is ``hostler agent``, which is the agent. Heavy modules are imported inside the verbs
that need them, so that the others start quickly.

Exit codes of every verb: 0 done; 2 wrong usage; 125 Hostler could not do it (no agent answers, the
agent refused, a file can't be read), with one line on standard error. ``hostler run`` adds those of
the task, see ``run``; ``hostler agent`` ends with 1 when it can't start.
"""
