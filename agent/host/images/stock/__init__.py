"""Images that are here: what each consists of, who needs it, and when it goes.

inventory   what is here, from containerd's records
usage       which tasks need it
retention   what may go, and why (pure)
cleaning    who removes it
claims      what is in use by work that is under way
"""
