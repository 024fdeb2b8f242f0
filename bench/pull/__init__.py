"""``bench pull``: an image of many files from a registry on this machine, by Hostler and others."""
