"""``bench soak``: tasks of many kinds come and go while the agent is killed time and again."""
