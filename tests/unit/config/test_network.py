"""What settings about the network may be."""

from __future__ import annotations

import json

import pytest

from agent.config.network import nfs_servers, nft_table


@pytest.mark.parametrize("text", ["meta", "table", "ip6", "gc-interval"])
def test_words_of_nfts_language_are_no_tables(text: str) -> None:
    with pytest.raises(ValueError, match="is a word of nft's own language"):
        nft_table(text)
    assert nft_table(f"my-{text}") == f"my-{text}"


def test_file_servers_are_named_by_the_ids_of_file_systems() -> None:
    given = {"fs-1": "nas", "fs-2": "10.0.0.5:/export", "fs-3": "[fd00::5]:/"}
    assert nfs_servers(json.dumps(given)) == given


@pytest.mark.parametrize(
    "text", ["", "[]", '"nas"', '{"fs-1": 1}', '{"fs-1": ""}', '{"fs-1": "nas:x"}', '{"a": "/x"}']
)
def test_anything_else_names_no_file_servers(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON object such as"):
        nfs_servers(text)
