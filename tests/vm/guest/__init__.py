"""What the machines do, by the Python of the Hostler that is installed in them.

Only the standard library and Hostler are there. Facts are told to the host, whose tests judge them.
"""
