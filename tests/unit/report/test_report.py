import base64
import csv
import json
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from sparta_ray.evaluation.published_results import published_value
from sparta_ray.figures.display import decimals_for, model_order, number
from sparta_ray.figures.report_figure import ReportFigure
from sparta_ray.metrics.records import Score
from sparta_ray.report.html import SIMULATED_NOTE, ReportContext, write_report
from sparta_ray.report.tables import score_tables
from sparta_ray.tasks.sections import check_tasks

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def forecast(model, value, lead=25, **more):
    setting = "lookback30_stride1"
    variant = {"sparta": "sparta_early_hn_cycle"}.get(model, model)
    known = published_value("forecast", "rrmse", variant, setting, lead)
    return Score(
        "forecast", model, "rrmse", value, "%",
        lead_days=lead, setting=setting, published=known, **more,
    )  # fmt: skip


SCORES = [
    forecast("autoencoder", 5.5, seed=0),
    forecast("sparta", 4.0, seed=0),
    forecast("sparta", 5.0, seed=42),
    forecast("climatology", 3.4),
    forecast("sparta", 6.0, lead=100, seed=0),
    Score("forecast", "sparta", "rmse", 0.0012, "kg kg-1", 25, "specific_humidity@850"),
    Score("forecast", "climatology", "rmse", 0.0011, "kg kg-1", 25, "specific_humidity@850"),
    Score("classification", "sparta", "cross-entropy", 0.21, published=0.164),
    Score("classification", "autoencoder", "cross-entropy", 0.25, published=0.1935),
]


def figure():
    drawn = Figure(figsize=(3, 2))
    drawn.subplots().plot([1, 2])
    return drawn


def context(**changes):
    defaults = {
        "title": "A run with <b>& signs",
        "summary": ["Climatology is best at 25 days <script>alert(1)</script>."],
        "run": {"Data": "simulated", "Seed": "0"},
        "shortened": [("pretrain.epochs", "100", "2")],
        "notes": ["One seed."],
        "scores": SCORES,
        "tabled": SCORES,
        "figures": [
            ReportFigure("forecast", "Maps", "Caption", figure(), 'Alt "text"', raster=True),
            ReportFigure("training", "Losses", "Caption of losses", figure(), "Loss lines"),
        ],
        "simulated": True,
    }
    return ReportContext(**{**defaults, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "report"
    text = write_report(folder, context()).read_text(encoding="utf-8")
    return folder, text, Page(text)


def test_the_page_fetches_nothing(written):
    _, text, page = written
    for tag, attributes in page.tags:
        assert tag not in ("script", "iframe", "object")
        source = attributes.get("src") or ""
        assert source == "" or source.startswith("data:")
        if tag == "link":
            assert attributes["href"].startswith("data:")
        elif tag == "a":
            assert attributes["href"].startswith("#") or "/" not in attributes["href"]
    assert "@import" not in text
    assert "url(" not in text


def test_text_is_escaped_and_links_lead_somewhere(written):
    _, text, page = written
    assert "<script>" not in text
    assert "A run with <b>& signs" in page.text
    anchors = {attributes.get("id") for _, attributes in page.tags}
    links = {a["href"] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    assert links
    assert all(link[1:] in anchors for link in links)


def test_figures_are_embedded_with_alternative_text(written):
    _, _, page = written
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == ["Loss lines", 'Alt "text"']
    kinds = [image["src"].split(";")[0] for image in images]
    assert kinds == ["data:image/svg+xml", "data:image/webp"]
    svg, webp = (base64.b64decode(image["src"].split(",")[1]) for image in images)
    assert b"<svg" in svg
    assert webp[:4] + webp[8:12] == b"RIFFWEBP"


def test_the_page_says_what_was_run_and_what_was_shortened(written):
    _, _, page = written
    for words in ("pretrain.epochs 100 2", "One seed.", "Seed 0", "Caption of losses"):
        assert words in page.text
    assert page.text.index("Climatology is best") < page.text.index("What was run")
    assert page.text.count(SIMULATED_NOTE) == 2  # under forecast and under classification
    assert "4.50 ± 0.71 15.71" in page.text  # this run's mean beside the paper's number


def test_real_data_get_no_warning(tmp_path):
    page = Page(write_report(tmp_path, context(simulated=False, shortened=[])).read_text())
    assert SIMULATED_NOTE not in page.text
    assert "Simulated" not in page.text
    assert "Every setting has its published value." in page.text


def test_an_empty_report_is_still_a_page(tmp_path):
    empty = context(scores=[], tabled=[], figures=[], notes=[])
    assert "What was run" in Page(write_report(tmp_path, empty).read_text()).text


def test_tables_show_only_the_scores_meant_for_them(tmp_path):
    few = [score for score in SCORES if score.lead_days != 100]
    page = Page(write_report(tmp_path, context(tabled=few)).read_text())
    assert "25 days" in page.text
    assert "100 days" not in page.text
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["scores"]) == len(SCORES)


def test_every_number_is_in_the_files_beside_the_page(written):
    folder, _, _ = written
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["run"] == {"Data": "simulated", "Seed": "0"}
    assert [Score(**record) for record in metrics["scores"]] == SCORES
    with (folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == [score.value for score in SCORES]
    assert rows[0]["setting"] == "lookback30_stride1"


def test_the_same_report_is_the_same_bytes(written, tmp_path):
    _, text, _ = written
    assert write_report(tmp_path, context()).read_text(encoding="utf-8") == text


def test_tables_average_seeds_and_mark_the_best():
    by_lead, by_variable = score_tables(score for score in SCORES if score.task == "forecast")
    assert [column.label for column in by_lead.columns] == ["25 days", "100 days"]
    assert [row.model for row in by_lead.rows] == ["SPARTA", "Autoencoder", "Climatology"]
    assert [row.is_baseline for row in by_lead.rows] == [False, False, True]
    first, second, third = (row.cells[0] for row in by_lead.rows)
    assert (first.text, first.published, first.best) == ("4.50 ± 0.71", "15.71", False)
    assert (second.text, second.published) == ("5.50", "19.73")
    assert (third.text, third.published, third.best) == ("3.40", "", True)
    assert by_lead.rows[1].cells[1].text == "–"
    assert not by_lead.rows[0].cells[1].best  # nothing to be better than
    assert by_variable.columns[0].label == "q850 (g kg⁻¹)"
    assert [row.cells[0].text for row in by_variable.rows] == ["1.20", "1.10"]
    assert by_variable.rows[0].group == "25 days"


def test_the_best_depends_on_the_metric():
    def winners(metric, *values):
        models = ("sparta", "autoencoder", "persistence")
        scores = [Score("forecast", *pair) for pair in zip(models, [metric] * 3, values)]  # noqa: B905
        (table,) = score_tables(scores)
        return [row.cells[0].best for row in table.rows]

    assert winners("ssim", 0.5, 0.9, 0.7) == [False, True, False]
    assert winners("rmse", 2, 2, 3) == [True, True, False]
    assert winners("bias", -3, 0.5, -0.4) == [False, False, True]
    assert winners("std", 1, 2, 3) == [False, False, False]


def test_a_score_must_be_finite_and_of_a_known_task():
    with pytest.raises(ValueError, match="rrmse of sparta is nan"):
        Score("forecast", "sparta", "rrmse", float("nan"))
    with pytest.raises(ValueError, match="unknown task"):
        check_tasks([Score("forecasts", "sparta", "rrmse", 1.0)])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("forecast", "rrmse", "sparta_early_hn_cycle", "lookback30_stride1", 25), 15.71),
        (("forecast", "rrmse", "autoencoder", "lookback5_stride10", 100), 19.05),
        (("forecast", "rrmse", "sparta_late_graph", "lookback5_stride5", 50), 11.98),
        (("forecast", "rrmse", "sparta_early_hn_cycle", "lookback30_stride1", 26), None),
        (("forecast", "rrmse", "climatology", "lookback30_stride1", 25), None),
        (("diffusion", "latent density", "sparta_early_hn_cycle"), 0.92),
        (("diffusion", "std", "autoencoder"), 0.5358),
        (("diffusion", "std", "autoencoder", "standardised"), None),
        (("classification", "cross-entropy", "sparta_early_hn_cycle"), 0.164),
        (("latent space", "cycle distance", "autoencoder"), 104.96),
        (("latent space", "cycle distance std", "sparta_late_attention"), 2.11),
        (("latent space", "embedding variance", "simclr"), 0.68),
        (("latent space", "embedding variance", "autoencoder"), None),
        (("forecast", "rrmse", "sparta_late_graph", "lookback30_stride1", 1), 6.63),
        (("forecast", "rrmse", "sparta_late_graph", "lookback5_stride5", 1), None),
        (("reconstruction", "rmse", "sparta_early_hn_cycle"), None),
    ],
)
def test_published_values(arguments, expected):
    assert published_value(*arguments) == expected


def test_numbers_are_shown_with_useful_digits():
    assert number(-1234.5, 1) == "−1\u2009234.5"
    assert [decimals_for(v) for v in ([4.2, 15.7], [0.016], [104.96, 5.56], [1e4, 0.1], [0])] == [
        2, 4, 1, 0, 0
    ]  # fmt: skip
    assert model_order(["climatology", "autoencoder", "sparta", "persistence", "sparta"]) == [
        "sparta", "autoencoder", "persistence", "climatology"
    ]  # fmt: skip


def test_no_identifier_is_used_twice(written):
    _, text, _ = written
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))
