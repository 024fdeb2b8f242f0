import pytest

from agent.registry.descriptor import LAYER, Descriptor, descriptor_from

SHA = "sha256:" + "ab" * 32


def test_a_descriptor_survives_its_document() -> None:
    descriptor = Descriptor(LAYER, SHA, 7)
    assert descriptor_from(descriptor.document) == descriptor
    assert descriptor.algorithm == "sha256"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "has a mediaType"),
        ([], "has a mediaType"),
        ({"mediaType": LAYER, "digest": SHA, "size": "7"}, "has a mediaType"),
        ({"mediaType": LAYER, "digest": "sha256:../../etc", "size": 7}, "is not a sha256"),
        ({"mediaType": LAYER, "digest": "md5:" + "a" * 32, "size": 7}, "is not a sha256"),
        ({"mediaType": LAYER, "digest": SHA, "size": -1}, "-1 bytes"),
        ({"mediaType": LAYER, "digest": SHA, "size": 2**63}, f"{2**63} bytes"),
        ({"mediaType": LAYER, "digest": SHA, "size": True}, "True bytes"),
        ({"mediaType": "x" * 256, "digest": SHA, "size": 7}, "256 characters"),
    ],
)
def test_a_bad_descriptor_is_refused(document: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        descriptor_from(document)
