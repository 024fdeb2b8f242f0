"""Whose a published port is: the comment of its element."""

import string

from hypothesis import given
from hypothesis import strategies as st

from cni.kernel.nfnetlink import COMMENT_LIMIT
from cni.portmap import ports
from cni.spec import Attachment

_LETTERS = string.ascii_letters + string.digits
names = st.text(_LETTERS + "_.-", max_size=150).map(lambda tail: "n" + tail)
ifnames = st.text(_LETTERS, min_size=1, max_size=15)
attachments = st.builds(Attachment, names, ifnames)


def test_short_names_and_whole_container_ids_are_readable() -> None:
    owner = ports.owner_name("hostler0", Attachment("f" * 64, "eth0"))

    assert owner == f"hostler0 {'f' * 64} eth0"


@given(names, attachments)
def test_an_owner_fits_a_comment_and_begins_with_its_network(
    network: str, attachment: Attachment
) -> None:
    owner = ports.owner_name(network, attachment)

    assert len(owner.encode()) <= COMMENT_LIMIT
    assert owner.startswith(ports.network_mark(network))


@given(names, names, attachments, attachments)
def test_different_attachments_are_different_owners(
    network: str, other_network: str, attachment: Attachment, other: Attachment
) -> None:
    one, two = ports.owner_name(network, attachment), ports.owner_name(other_network, other)

    assert (one == two) == ((network, attachment) == (other_network, other))
    assert two.startswith(ports.network_mark(network)) == (network == other_network)


@given(st.text(_LETTERS, min_size=150, max_size=160), ifnames)
def test_ids_that_differ_only_at_the_end_are_different_owners(name: str, ifname: str) -> None:
    owners = {ports.owner_name("net", Attachment(name + end, ifname)) for end in "abc"}

    assert len(owners) == 3
