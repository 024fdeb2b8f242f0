import pytest
from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.remote.proxies import Proxies

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "https://r.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://r.example", f"{PROXY}/"),
        ({"HTTPS_PROXY": PROXY}, "http://r.example", None),
        ({"HTTP_PROXY": PROXY}, "http://r.example", f"{PROXY}/"),
        ({"HTTP_PROXY": PROXY}, "https://r.example", None),
        ({"https_proxy": PROXY}, "https://r.example", f"{PROXY}/"),
        ({"http_proxy": PROXY}, "http://r.example", f"{PROXY}/"),
        ({"HTTP_PROXY": "", "http_proxy": PROXY}, "http://r.example", f"{PROXY}/"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://r.example", f"{PROXY}/"),
        ({"HTTPS_PROXY": "https://p.example"}, "https://r.example", "https://p.example/"),
        (
            {"HTTPS_PROXY": "http://me:p%40ss@p.example:1"},
            "https://r.example",
            "http://me:p%40ss@p.example:1/",
        ),
        ({"HTTP_PROXY": PROXY}, "http://localhost:5000", None),
        ({"HTTP_PROXY": PROXY}, "http://127.9.9.9", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::1]:5000", None),
    ],
)
def test_which_proxy(environ: dict[str, str], url: str, proxy: str | None) -> None:
    assert Proxies(environ).of(URL(url)) == (URL(proxy) if proxy else None)


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "r.example", True),
        ("", "r.example", False),
        ("r.example", "r.example", True),
        ("R.Example", "r.example", True),
        ("r.example", "r.example.", True),
        ("r.example", "a.r.example", True),
        ("r.example", "bar.example", False),
        ("other.example , r.example", "r.example", True),
        (",,", "r.example", False),
        (".r.example", "a.r.example", True),
        (".r.example", "r.example", False),
        ("*.r.example", "a.b.r.example", True),
        ("*.r.example", "r.example", False),
        ("r.example:443", "r.example", True),
        ("r.example:5000", "r.example", False),
        ("r.example:5000", "r.example:5000", True),
        ("r.example", "r.example:5000", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "110.1.2.3", False),
        ("1.2.3", "10.1.2.3", False),
        ("2.3", "10.1.2.3", False),
        ("10.1.2.3:5000", "10.1.2.3:5000", True),
        ("10.1.2.3:5000", "10.1.2.3:5001", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.9.9.9/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "r.example", False),
        ("fd00::/8", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("[fd00::1]:5000", "[fd00::1]:5000", True),
        ("[fd00::1]:5000", "[fd00::1]", False),
        ("300.0.0.0/8", "10.1.2.3", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_exceptions(name: str, no_proxy: str, host: str, *, direct: bool) -> None:
    proxies = Proxies({"HTTPS_PROXY": PROXY, name: no_proxy})
    assert (proxies.of(URL(f"https://{host}")) is None) is direct


@pytest.mark.parametrize(
    "said", ["http://", "socks5://p.example:1080", "http://me:hidden@p.example:x", "http://[hidden"]
)
def test_what_is_no_proxy(said: str) -> None:
    with pytest.raises(RegistryError) as caught:
        Proxies({"HTTPS_PROXY": said}).of(URL("https://r.example"))
    assert str(caught.value) == "HTTPS_PROXY in the environment must be like http://proxy:3128"
