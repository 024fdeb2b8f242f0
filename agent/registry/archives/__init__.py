"""Images in files, as ``docker save`` and ``skopeo copy`` write them."""
