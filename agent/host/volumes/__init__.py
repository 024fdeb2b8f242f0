"""Volumes: the host's directories, the tasks' own, shared ones, and file systems to be mounted.

``places`` says where each is; ``requests`` what is mounted there, ``mounting`` does that and
``mountpoints`` undoes it; ``shared`` keeps shared volumes, ``sharing`` knows who uses them;
``provider`` provides a task with all that somebody must make or mount. ``binding`` gives containers
what they mount, ``filling`` puts into a new volume what the image has at its place, ``trees``
removes directories. ``opening`` puts it together.
"""
