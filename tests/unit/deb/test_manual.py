"""Man pages: of every command, and what roff would take for its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent import config
from deb import ROOT, BuildError, manual, settings

PAGES = manual.pages("1.2", "2026-01-02", settings.PAGE.read_text())


def test_there_is_a_page_for_every_command_that_is_shown() -> None:
    assert {"hostler.1", "hostler-run.1", "hostler-reset.1", "hostler-image-pull.1"} <= set(PAGES)
    assert "hostler-trial.1" not in PAGES
    listed = PAGES["hostler.1"]
    for name in PAGES:
        if name.endswith(".1") and name.count("-") == 1:
            verb = name.removesuffix(".1").replace("-", r"\-")
            assert rf"\fB{verb}\fR(1)" in listed


def test_a_page_says_what_help_says() -> None:
    page = PAGES["hostler-drain.1"]
    assert page.startswith('.TH "HOSTLER\\-DRAIN" "1" "2026-01-02" "Hostler 1.2" "Hostler"\n')
    assert r"hostler\-drain \- take no new tasks, and stop all gracefully" in page
    assert r"\fB\-\-timeout SPAN\fR" in page
    assert r"\fB\-h, \-\-help\fR" in page
    assert ".PP\nDaemon tasks" in page


@pytest.mark.parametrize("name", [each for each in PAGES if each.endswith(".1")])
def test_a_page_is_named_by_one_line(name: str) -> None:
    line = PAGES[name].partition(".SH NAME\n")[2].splitlines()[0]
    assert "." not in line.partition(r" \- ")[2].replace(".tar.gz", "")


def test_a_page_tells_how_its_command_ends() -> None:
    def ends(name: str) -> list[str]:
        told = PAGES[f"hostler-{name}.1"].partition(".SH EXIT STATUS\n")[2].partition(".SH ")[0]
        return [line.removeprefix(r"\fB").partition(r"\fR")[0] for line in told.splitlines()[1::3]]

    assert ends("ps") == ["0", "2", "125"]
    assert ends("run") == [r"the container\(aqs", "0", "1", "2", "125", "130"]
    assert ends("drain") == ["0", "1", "2", "125", "130"]
    for verb in ("doctor", "reset", "config"):
        assert ends(verb) == ["0", "1", "2", "125"]
    assert ends("agent") == ["0", "1", "2", "78", "125"]
    for verb in manual.ENDS:
        assert f"hostler-{verb}.1" in PAGES


def test_the_readme_tells_the_same_of_how_commands_end() -> None:
    page = (ROOT / "README.md").read_text().partition("### Exit codes\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in page.splitlines()]
    for verb, ends in manual.ENDS.items():
        command = f"hostler {verb.replace('-', ' ')}"
        for code, _ in ends:
            (meaning,) = [row[1] for row in rows if row[0].strip("| ").removesuffix(" own") == code]
            assert f"`{command}`" in meaning or code == "125"


def test_the_settings_are_all_in_theirs() -> None:
    page = PAGES["hostler.config.5"]
    for name in config.names():
        assert rf"\fB{name}\fR" in page


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (".TH is no request", r"\&.TH is no request"),
        (r"a\b", r"a\eb"),
        ("--json", r"\-\-json"),
        ("'quoted'", r"\(aqquoted\(aq"),
        ("…and `so`", r"\&...and \(gaso\(ga"),
    ],
)
def test_text_is_not_taken_for_roff(text: str, plain: str) -> None:
    assert manual._plain(text) == plain


def test_code_is_bold() -> None:
    assert manual._marked("`.d`, or `a-b`.") == r"\fB.d\fR, or \fBa\-b\fR."


def test_a_command_without_help_is_an_error() -> None:
    with pytest.raises(BuildError, match="the command lost has no help"):
        manual._paragraphs(SimpleNamespace(help="", name="lost"))
