import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.remote.host import CAPABILITIES, Host, Terms
from agent.registry.remote.hosts import hosts_for
from agent.registry.remote.hostsfile import read_certificates, read_hosts_file
from agent.registry.remote.tls import Trust


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hosts.toml"


def test_all_that_containerd_takes(file: Path) -> None:
    file.write_text(
        """
        server = "https://registry.example"
        capabilities = ["pull", "RESOLVE"]
        ca = "root.crt"
        client = ["both.pem"]
        header = {X-Root = "yes"}
        dial_timeout = "1m30s"
        a_key_of_tomorrow = 1

        [host."https://one.example:5000"]
          capabilities = ["pull"]
          ca = ["a.crt", "/etc/b.crt"]
          client = [["my.cert", "my.key"]]
          skip_verify = true
          override_path = false
          dial_timeout = "500ms"
          [host."https://one.example:5000".header]
            X-One = "1"
            X-Many = ["2", "3"]

        [host."http://two.example/v2/cache/"]
          override_path = true

        [host."three.example"]
          client = "both.pem"
        """
    )
    folder = file.parent
    found = read_hosts_file(file)
    root = Terms(
        capabilities=frozenset({"pull", "resolve"}),
        trust=Trust((folder / "root.crt",), (folder / "both.pem", folder / "both.pem")),
        headers=(("X-Root", "yes"),),
        dial_timeout_s=90.0,
    )
    assert found.terms == root
    assert found.server == Host("registry.example", URL("https://registry.example/v2"), root)
    assert found.mirrors == (
        Host(
            "one.example:5000",
            URL("https://one.example:5000/v2"),
            Terms(
                capabilities=frozenset({"pull"}),
                trust=Trust(
                    (folder / "a.crt", Path("/etc/b.crt")),
                    (folder / "my.cert", folder / "my.key"),
                    verify=False,
                ),
                headers=(("X-One", "1"), ("X-Many", "2"), ("X-Many", "3")),
                dial_timeout_s=0.5,
            ),
        ),
        Host("two.example", URL("http://two.example/v2/cache"), Terms()),
        Host(
            "three.example",
            URL("https://three.example/v2"),
            Terms(trust=Trust(client=(folder / "both.pem", folder / "both.pem"))),
        ),
    )


@pytest.mark.parametrize(
    ("address", "more", "url"),
    [
        ("https://m.example", "", "https://m.example/v2"),
        ("https://m.example/", "", "https://m.example/v2"),
        ("https://m.example/v2", "", "https://m.example/v2"),
        ("https://m.example/v2/", "", "https://m.example/v2"),
        ("https://m.example/a%2Fb", "", "https://m.example/a%2Fb/v2"),
        ("m.example:80", "", "https://m.example:80/v2"),
        ("http://[::1]:5000", "", "http://[::1]:5000/v2"),
        ("https://m.example/v2/p", "override_path = true", "https://m.example/v2/p"),
        ("https://m.example", "override_path = true", "https://m.example"),
        ("https://docker.io", "", "https://registry-1.docker.io/v2"),
    ],
)
def test_addresses(file: Path, address: str, more: str, url: str) -> None:
    file.write_text(f'[host."{address}"]\n{more}')
    (mirror,) = read_hosts_file(file).mirrors
    assert str(mirror.url).rstrip("/") == url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("server = ", "Invalid value"),
        ("server = 1", "server: Input should be a valid string"),
        ('server = "ftp://a.example"', "'ftp://a.example' is not an address such as"),
        ('server = "https://"', "is not an address"),
        ('server = "https://a.example:0"', "is not an address"),
        ('server = "https://a.example:99999"', "is not an address"),
        (
            'server = "https://me:hidden@a.example"',
            "host a.example: the address must have no login",
        ),
        ('server = "https://me:hidden@a.example:99999"', "'a.example:99999' is not an address"),
        ('server = "https://a.example?x=hidden"', "must have no login, '?'"),
        ('[host."ftp://m"]', "'ftp://m' is not an address"),
        ('capabilities = "pull"', "capabilities: Input should be a valid list"),
        ('capabilities = ["fly"]', "capabilities[0]: must be pull, resolve, push or referrers"),
        ("ca = 7", "ca: Input should be a valid list"),
        ('ca = ["a", 7]', "ca[1]: Input should be a valid string"),
        ("client = true", "client: Input should be a valid list"),
        ('client = [["a", "b", "c"]]', "client[0]: must be one file, or a certificate and its key"),
        ("client = [[]]", "client[0]: must be one file"),
        ("client = [7]", "client[0]: Input should be a valid list"),
        ('client = ["a.pem", "b.pem"]', "client: keep the one certificate to show of"),
        ('skip_verify = "yes"', "skip_verify: Input should be a valid boolean"),
        ('dial_timeout = "fast"', "dial_timeout: must be a duration such as"),
        ('dial_timeout = "0"', "dial_timeout: must be text such as"),
        ("dial_timeout = 3", "dial_timeout: must be text such as"),
        ('header = {"X Y" = "hidden"}', "is not the name of a header"),
        ('header = {X = ["ok", "hidden\\r\\nEvil: 1"]}', "header.X[1]: must have no control"),
        ('header = {X = "hidden€"}', "nothing beyond Latin-1"),
        ("header = {X = 7}", "header.X: Input should be a valid list"),
        (
            '[host."https://m.example"]\nca = 7',
            'host."https://m.example".ca: Input should be a valid list',
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(RegistryError) as caught:
        read_hosts_file(file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")
    assert "hidden" not in str(caught.value)


def test_what_is_no_text(file: Path) -> None:
    file.write_bytes(b"server = '\xff'")
    with pytest.raises(RegistryError, match=r"hosts\.toml: .*codec can't decode"):
        read_hosts_file(file)


def test_certificates_alone(tmp_path: Path) -> None:
    for name in ("b.crt", "a.crt", "us.cert", "us.key", "readme"):
        (tmp_path / name).touch()
    (tmp_path / "folder.crt").mkdir()
    assert read_certificates(tmp_path).terms.trust == Trust(
        (tmp_path / "a.crt", tmp_path / "b.crt"), (tmp_path / "us.cert", tmp_path / "us.key")
    )


def test_a_certificate_with_its_key_in_it(tmp_path: Path) -> None:
    (tmp_path / "us.cert").touch()
    expected = Trust((), (tmp_path / "us.cert", tmp_path / "us.cert"))
    assert read_certificates(tmp_path).terms.trust == expected


def test_two_certificates_of_ours(tmp_path: Path) -> None:
    for name in ("us.cert", "them.cert"):
        (tmp_path / name).touch()
    with pytest.raises(RegistryError, match=r"keep the one certificate to show of .*them.cert"):
        read_certificates(tmp_path)


texts = st.text(max_size=10)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
KEYS = ("server", "capabilities", "ca", "client", "skip_verify", "header", "override_path")
tables = st.dictionaries(st.sampled_from(KEYS) | texts, anything, max_size=4)
addresses = st.sampled_from(["https://m.example", "http://[::1]:1", "m:1"]) | texts


@given(tables, st.dictionaries(addresses, tables, max_size=2))
def test_any_table_is_hosts_or_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, root: dict[str, object], hosts: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("certs.d")
    file = folder / "_default" / "hosts.toml"
    file.parent.mkdir()
    file.write_text("\n".join(_toml({**root, "host": hosts})), "utf-8")
    try:
        found = hosts_for("registry.example", (folder,), ())
    except RegistryError as error:
        assert str(file) in str(error)  # noqa: PT017
    else:
        assert len(found) == 1 + len(hosts)
        assert all(each.url.host and each.terms.capabilities <= CAPABILITIES for each in found)


@given(st.binary(max_size=60))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("certs.d") / "hosts.toml"
    file.write_bytes(data)
    try:
        read_hosts_file(file)
    except RegistryError as error:
        assert str(file) in str(error)  # noqa: PT017


def _toml(table: dict[str, object]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items() if value is not None]


def _value(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{_key(name)} = {_value(each)}" for name, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps("" if value is None else value).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return json.dumps(name).replace("\x7f", "\\u007f")
