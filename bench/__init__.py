"""Benchmarks: ``./dev bench NAME`` = ``python -m bench NAME``.

    command   the arguments          sealed    a world of its own, that leaves nothing behind
    inside    the program in there   launch, burst, density    one benchmark or part of one each
    peers/    what is compared: one file for each way to run a container
    world     what peers share: scratch directory, image, containerd, CPU accounts
    rounds    taking turns           summary   medians and ratios          report  tables, JSON

Wall times drift with the machine, so all that is compared takes turns in one run, and the ratios
are what counts: the median of the ratios of each round. Nothing here is installed.
"""
