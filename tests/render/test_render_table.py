"""Tables: the numbers, the gaps and the formats."""

from __future__ import annotations

import csv
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reprior.errors import UserError
from reprior.machine.files import read_json
from reprior.metrics.averaging import bootstrap_interval

EVERY = ["bicubic", "naive", "csgm", "csgm-bp", "iagan", "iagan-bp"]
CASES = ["sr-x4", "fourier-30", "no-weights"]


def made(made_up: Any, changes: dict[str, Any] | None = None, **settings: Any) -> Path:
    wanted = {"cases": CASES, "methods": EVERY, "metrics": ["psnr", "lpips"], **settings}
    return made_up.render("table", "table", changes, **wanted)


def rows(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    with out.with_name(f"{out.name}.csv").open(newline="") as file:
        return {(row["case"], row["method"], row["metric"]): row for row in csv.DictReader(file)}


def text(out: Path, suffix: str) -> str:
    return out.with_name(out.name + suffix).read_text()


def change(made_up: Any, case: str, method: str, old: str, new: str) -> None:
    """Edit the first batch's numbers by hand."""
    path = made_up.folder / case / method / "0000-0001.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_ours_paper_and_difference(comparable: Any) -> None:
    row = rows(made(comparable))["sr-x4", "csgm", "psnr"]
    mean_mse = sum(10 ** (-(19 + i) / 10) for i in range(4)) / 4
    assert float(row["ours"]) == pytest.approx(-10 * math.log10(mean_mse))
    assert float(row["paper"]) == 20.51
    assert float(row["difference"]) == pytest.approx(float(row["ours"]) - 20.51)
    assert [float(row["low"]), float(row["high"])] == pytest.approx(bootstrap_interval("psnr", [19, 20, 21, 22]))
    assert (row["images"], row["gap"]) == ("4", "")


def test_the_mean_of_psnrs_stands_beside_in_the_csv(made_up: Any) -> None:
    assert float(rows(made(made_up))["sr-x4", "csgm", "psnr-mean"]["ours"]) == pytest.approx(20.5)


def test_what_cannot_be_compared_says_so(made_up: Any) -> None:
    out = made(made_up)
    assert {row["verdict"] for row in rows(out).values()} == {"drawn data: not comparable"}
    assert {row["difference"] for row in rows(out).values()} == {""}
    assert not any("difference" in text(out, suffix).lower() for suffix in (".md", ".tex"))
    for suffix in (".md", ".tex"):
        assert not re.search("verdict|agrees|not run", text(out, suffix), re.IGNORECASE)


def test_what_can_be_compared_is_judged(comparable: Any) -> None:
    out = made(comparable, metrics=["psnr", "ssim", "lpips"])
    words = {key: row["verdict"] for key, row in rows(out).items()}
    assert words["sr-x4", "csgm", "psnr"] == "agrees"
    assert words["sr-x4", "bicubic", "psnr"] == "worse"
    assert words["sr-x4", "csgm-bp", "psnr"] == "better"
    assert words["sr-x4", "iagan-bp", "psnr"] == ""
    assert words["no-weights", "csgm", "psnr"] == words["sr-x4", "csgm", "lpips-alex"] == "not run"
    markdown, latex = text(out, ".md"), text(out, ".tex")
    assert "| verdict | worse / – / – |" in markdown
    assert "| – | agrees / – / not run |" in markdown
    assert "& verdict & worse / -- / -- &" in latex
    for content in (markdown, latex):
        assert "the 95" in content and "narrow miss" in content


def test_a_verdict_that_all_metrics_of_a_cell_share_for_want_of_results_is_said_once(comparable: Any) -> None:
    comparable.reported.write_text(comparable.reported.read_text() + "table,no-weights,csgm,lpips,0.2,\n")
    assert "|  | verdict | – | – | not run | – | – | – |" in text(made(comparable), ".md")


def test_run_times_are_not_judged(comparable: Any) -> None:
    comparable.reported.write_text(comparable.reported.read_text() + "table,sr-x4,csgm,seconds,30,\n")
    out = made(comparable, cases=["sr-x4"], metrics=["seconds"])
    row = rows(out)["sr-x4", "csgm", "seconds"]
    assert (row["verdict"], row["difference"], row["low"], row["high"]) == ("not judged", "", "", "")
    assert "Not judged, and without a difference: run times" in text(out, ".md") and "interval" not in text(out, ".md")


def test_the_papers_numbers_keep_their_digits(comparable: Any) -> None:
    comparable.reported.write_text(comparable.reported.read_text() + "table,sr-x4,csgm,seconds,30,\n")
    times = text(made(comparable, cases=["sr-x4"], metrics=["seconds"]), ".md")
    assert "| paper | – | – | 30 | – |" in times and "| difference |" not in times
    assert "26.50 / –" in text(made(comparable), ".md")


def test_a_number_that_is_none_has_no_interval_and_is_called_so(comparable: Any) -> None:
    change(comparable, "sr-x4", "csgm", "psnr,19.0", "psnr,nan")
    row = rows(made(comparable))["sr-x4", "csgm", "psnr"]
    assert (row["ours"], row["low"], row["verdict"]) == ("nan", "", "not finite")


def test_a_single_image_has_no_interval(comparable: Any) -> None:
    for case in comparable.cases.values():
        case["batches"] = case["batches"][:1]
    for path in comparable.folder.glob("*/*/0000-0001.csv"):
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "face-1" not in line))
    out = made(comparable)
    assert "interval" not in text(out, ".md").lower().replace("our interval", "")
    row = rows(out)["sr-x4", "csgm", "psnr"]
    assert (row["images"], row["low"], row["difference"], row["verdict"]) == ("1", "", "", "not judged")


def test_the_difference_of_nothing_has_no_minus(comparable: Any) -> None:
    comparable.reported.write_text("artifact,case,method,metric,value,note\ntable,sr-x4,csgm,ssim,0.50001,\n")
    assert "-0.00001" not in (markdown := text(made(comparable, metrics=["ssim"]), ".md"))
    assert "+0.0000 |" in markdown


def test_gaps_are_labelled_and_never_numbers(made_up: Any) -> None:
    found = rows(made(made_up))
    assert found["no-weights", "csgm", "psnr"]["gap"] == "no public weights of pggan"
    assert found["sr-x4", "naive", "psnr"]["gap"] == "not part of this case"
    assert "alexnet" in found["sr-x4", "csgm", "lpips-alex"]["gap"]
    for row in found.values():
        assert (row["ours"] == "") == (row["gap"] != "")


def test_a_method_may_be_a_gap_of_its_own(made_up: Any) -> None:
    del made_up.cases["sr-x4"]["methods"]["csgm"]
    made_up.cases["sr-x4"]["gaps"]["csgm"] = "the package is not installed"
    out = made(made_up)
    found = rows(out)
    row = found["sr-x4", "csgm", "psnr"]
    assert (row["gap"], row["ours"], row["paper"]) == ("the package is not installed", "", "20.51")
    assert found["sr-x4", "iagan", "psnr"]["gap"] == found["fourier-30", "csgm", "psnr"]["gap"] == ""
    assert "the package is not installed" in text(out, ".md")


def test_the_papers_lpips_stands_beside_our_network(made_up: Any) -> None:
    assert rows(made(made_up))["sr-x4", "csgm", "lpips-alex"]["paper"] == "0.235"


def test_numbers_of_another_artifact_are_not_taken(made_up: Any) -> None:
    assert rows(made(made_up))["sr-x4", "bicubic", "psnr"]["paper"] == ""


def test_a_metric_that_nothing_computed_is_a_gap(made_up: Any) -> None:
    out = made(made_up, {"metric_gaps": {}}, metrics=["ssim", "lpips"])
    assert rows(out)["sr-x4", "csgm", "lpips"]["gap"] == "lpips was not computed"


def test_every_format_marks_the_best_the_note_and_the_gaps(made_up: Any) -> None:
    out = made(made_up)
    markdown, latex = text(out, ".md"), text(out, ".tex")
    assert "**26.86**" in markdown and r"\textbf{26.86}" in latex
    for content in (markdown, latex):
        assert "drawn data: not comparable" in content
        assert "no public weights of pggan" in content
        assert "1 of 4 images diverged" in content
        assert "not reproducible" in content


def test_several_notes_on_a_number_are_footnotes_of_their_own(made_up: Any) -> None:
    reported = made_up.reported.read_text()
    made_up.reported.write_text(reported.replace("not reproducible", "not reproducible | of another network"))
    markdown = text(made(made_up), ".md")
    assert re.search(r"\[\w\] not reproducible$", markdown, re.MULTILINE)
    assert re.search(r"\[\w\] of another network$", markdown, re.MULTILINE)


def test_markdown_is_one_table_of_equal_rows(made_up: Any) -> None:
    lines = [line for line in text(made(made_up), ".md").splitlines() if line.startswith("|")]
    names = [line.split(" | ")[1] for line in lines[2:]]
    every = ["ours", "interval, PSNR [dB]", "paper"]
    assert names == [*every, *every, "ours", "paper"]  # the last case was not run
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(EVERY) + 3}


def test_latex_is_escaped_and_every_row_has_all_columns(made_up: Any) -> None:
    latex = text(made(made_up, title="50% of A_b & $c"), ".tex")
    assert r"\caption{50\% of A\_b \& \$c}" in latex
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0]
    found = [row for row in body.replace(r"\addlinespace", "").split(r"\\") if row.strip()]
    assert len(found) == 3 + 3 + 2
    assert {len(re.findall(r"(?<!\\)&", row)) for row in found} == {len(EVERY) + 1}


def test_without_a_number_of_the_paper_there_are_only_ours(made_up: Any) -> None:
    made_up.reported.unlink()
    markdown = text(made(made_up), ".md")
    assert "| ours |" in markdown and "| paper |" not in markdown and "| difference |" not in markdown


def test_a_nan_is_shown_and_never_the_best(made_up: Any) -> None:
    change(made_up, "sr-x4", "iagan-bp", "psnr,25.5", "psnr,nan")
    out = made(made_up)
    assert rows(out)["sr-x4", "iagan-bp", "psnr"]["ours"] == "nan"
    markdown = text(out, ".md")
    assert "| nan / –" in markdown and "**26.36**" in markdown


def test_an_exact_image_is_no_stumbling_block(made_up: Any) -> None:
    for index in range(4):
        path = made_up.folder / "sr-x4/iagan-bp" / ("0000-0001.csv" if index < 2 else "0002-0003.csv")
        path.write_text(path.read_text().replace(f"psnr,{25.5 + index}", "psnr,inf"))
    out = made(made_up)
    assert rows(out)["sr-x4", "iagan-bp", "psnr"]["ours"] == "inf"
    sidecar = read_json(out.with_name("table.json"))
    assert float(sidecar["cells"]["sr-x4"]["iagan-bp"]["averages"]["psnr"]) == math.inf


def test_lower_is_better_for_errors_and_nothing_is_for_run_times(made_up: Any) -> None:
    entries = read_json(made(made_up, metrics=["mse", "seconds"]).with_name("table.json"))["table"]["entries"]
    best = {(e["case"], e["metric"]): e["method"] for e in entries if e["best"]}
    assert best == {("sr-x4", "mse"): "iagan-bp", ("fourier-30", "mse"): "iagan"}


def test_a_broken_reported_csv_is_named(made_up: Any) -> None:
    made_up.reported.write_text("artifact,case\n")
    with pytest.raises(UserError, match=r"reported\.csv.*method"):
        made(made_up)


@pytest.mark.parametrize("value", ["", "about 20", "nan", "inf"])
def test_a_number_of_the_paper_that_is_none_is_named(made_up: Any, value: str) -> None:
    made_up.reported.write_text(f"artifact,case,method,metric,value,note\ntable,sr-x4,csgm,psnr,{value},\n")
    with pytest.raises(UserError, match=rf"reported\.csv: the value `{value}` is not a number"):
        made(made_up)


@pytest.mark.parametrize("end", ["a note, with a comma", "a note, with a comma\ntable,sr-x4,iagan,psnr,21.0,"])
def test_a_cell_with_a_comma_and_no_quotes_is_told(made_up: Any, end: str) -> None:
    made_up.reported.write_text(f"artifact,case,method,metric,value,note\ntable,sr-x4,csgm,psnr,20.5,{end}\n")
    with pytest.raises(UserError, match=r"reported\.csv: cannot be read as a csv: .*put quotes around cells"):
        made(made_up)


def test_a_row_may_end_before_its_note(made_up: Any) -> None:
    made_up.reported.write_text("artifact,case,method,metric,value,note\ntable,sr-x4,csgm,psnr,20.5\n")
    assert rows(made(made_up))["sr-x4", "csgm", "psnr"]["paper"] == "20.5"


def test_a_table_imports_neither_matplotlib_nor_torch(made_up: Any) -> None:
    out = made(made_up)
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from reprior.render.artifact import render\n"
        "render(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "print(sorted({'matplotlib', 'seaborn', 'torch'} & set(sys.modules)))"
    )
    import json

    spec = made_up.spec("table", "table", cases=CASES, methods=EVERY, metrics=["psnr"])
    arguments = [json.dumps(spec), str(made_up.reported), str(out)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
