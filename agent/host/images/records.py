"""What Hostler keeps in containerd beside images: labels of their records and of their layers.

An image has one record under its tag and one under its digest; the latter holds the content for
tasks that are pinned to it when the tag moves on.
"""

PULLED_AT = "hostler/pulled-at"
"""When this agent last pulled the image by that name: epoch seconds. Images loaded have none."""

USED_AT = "hostler/used-at"
"""When the last task that referred to the image was forgotten: epoch seconds."""

LAYER_FACTS = "hostler/layer-facts"
"""Of a layer that was checked: what it is like, as JSON."""
