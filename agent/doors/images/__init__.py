"""Hostler's calls about the images of this host.

calls     what there is, and what is to go
traffic   images that come and go: loaded, pulled, saved; for the unix socket only
room      what both work with
"""
