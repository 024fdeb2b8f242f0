import json

from bench.report import Report, spread, table
from bench.summary import Summary


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    made = table(("what", "ms"), [("a long name", "5"), ("b", "1234")])
    assert made == "what           ms\na long name     5\nb            1234"


def test_a_spread_is_in_milliseconds() -> None:
    assert spread(Summary(0.001, 0.0102, 0.0203, 0.0304)) == "20 (10-30, min 1)"


def test_the_json_holds_figures_and_ratios_by_name() -> None:
    report = Report(figures={"rss50_mb": 77.777777}, ratios={"launch/ctr": 0.912345})
    expected = {"figures": {"rss50_mb": 77.7778}, "ratios": {"launch/ctr": 0.9123}}
    assert json.loads(report.json()) == expected


def test_each_target_is_called_met_or_missed_and_by_how_much() -> None:
    report = Report(
        targets={"launch/ctr": 1.0, "launch/docker": 0.4},
        ratios={"launch/ctr": 1.19, "launch/docker": 0.4, "launch/runc": 3.0},
    )
    lines = report.text("launch").splitlines()
    assert "launch/ctr        1.19    <= 1  missed by 19%" in lines
    assert "launch/docker     0.40  <= 0.4            met" in lines
    assert "launch/runc       3.00" in lines


def test_figures_without_a_target_stay_out_of_the_verdicts() -> None:
    report = Report(targets={"rss50_mb": 90}, figures={"rss50_mb": 80.0, "pss50_mb": 60.0})
    text = report.text("launch")
    assert "rss50_mb" in text
    assert "pss50_mb" not in text


def test_where_more_is_better_the_target_is_the_least() -> None:
    report = Report(
        least={"task_rps/bare": 0.8, "rps": 100.0},
        ratios={"task_rps/bare": 0.6},
        figures={"rps": 100.0},
    )
    lines = report.text("metadata").splitlines()
    assert "task_rps/bare      0.60  >= 0.8  missed by 25%" in lines
    assert "rps              100.00  >= 100            met" in lines
