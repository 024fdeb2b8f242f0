"""GPUs for containers, by Container Device Interface (CDI) specifications.

``specifications`` reads the files that a vendor's tool has written, ``edits`` turns what they say
of a device into changes of a runtime spec, ``inventory`` knows which devices are GPUs, each once.
"""
