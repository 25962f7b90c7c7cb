"""Every table at every scale, as a plan: commands, named configs and keys exist, and every quoted number is in the file."""

from __future__ import annotations

import json
import re

import pytest

import configs
import ex_paper
import ex_tl
from configs.schema_paper import ExPaper
from helpers.paper import recipes
from helpers.paper.citations import FILE, PER_CENT, Citation, find_score, read_entries
from helpers.paper.engine import Engine, Unavailable
from helpers.paper.families import maest
from helpers.paper.plan import make_plan, makespan
from helpers.paper.steps import ExternalPath, Keys, Ref, in_order
from helpers.paper.table import Cell, Table, load_tables, table
from helpers.utils.typed_config import build, check
from models.registry import get_card

TABLES = load_tables()
NAMES = [
    "table_initial_weights", "table_sequence_length", "table_teacher_student", "table_tokens", "figure_blocks", "table_patchout_inference",
    "table_downstream", "table_families", "table_clmr", "table_out_of_domain", "table_omar_rq", "table_musicfm", "table_music2vec",
]  # fmt: skip
CHECKED: set[str] = set()  # steps that several tables share are looked at once
KEYS = Keys(ex_paper.resolve, ex_paper.ignored_keys)


def made(name: str, scale: str) -> Table:
    return TABLES[name].make(ex_paper.build_scale(ex_paper.resolve("ex_paper.py", [scale], {})))


def experiment(script: str):
    return __import__(script.removesuffix(".py")).ex


def test_the_tables_are_there_as_commands():
    assert set(NAMES) <= set(TABLES)
    assert set(TABLES) <= set(ex_paper.ex.commands)
    assert all(registered.doc for registered in TABLES.values())


@pytest.mark.parametrize(
    "scale", [s if s in ("demo", "smoke", "mtt") else pytest.param(s, marks=pytest.mark.slow) for s in configs.PAPER]
)
@pytest.mark.parametrize("name", TABLES)
def test_every_step_is_a_command_with_configs_and_keys_that_exist(name, scale):
    found = made(name, scale)
    assert all(len(row.cells) == len(found.columns) for row in found.rows)
    assert len({row.name for row in found.rows}) == len(found.rows)
    for step in in_order(found.steps):
        ex, (schema, catalogue) = experiment(step.script), ex_paper.EXPERIMENTS[step.script]
        assert step.command in ex.commands
        assert set(step.named) <= set(catalogue)
        values = {key: "a path" if isinstance(value, (Ref, ExternalPath)) else value for key, value in step.updates.items()}
        if (said := repr((step.script, step.named, sorted(values.items())))) not in CHECKED:
            config = ex_paper.resolve(step.script, step.named, values)
            check(schema, config, extra=("seed",))
            if step.script == "ex_tl.py":  # what the command itself refuses: keys that its task or it does not use
                ex_tl.protocol(build(schema, config))
                if step.command != "main":
                    ex_tl.refuse_unused(build(schema, config), step.command)
            CHECKED.add(said)
        for weights in step.weights:
            get_card(weights)
        assert step.estimate.seconds > 0
    for row in found.rows:
        for citation in row.citations:
            assert 0 < find_score(citation).value < 1


@pytest.mark.parametrize("scale", ["demo", "smoke"])
@pytest.mark.parametrize("name", NAMES)
def test_at_the_trained_scales_only_starting_weights_are_wanted(name, scale, tmp_path, monkeypatch):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    plan = make_plan(Engine(tmp_path / "out", ex_paper.ROOT, KEYS), made(name, scale).steps)
    absent = {one.outcome.text for one in plan if isinstance(one.outcome, Unavailable)}
    wheel = {"musicnn-0.1.0-py3-none-any.whl"}
    wanted = {
        "table_initial_weights": {"deit_base_distilled_patch16_384-d0272ac0.pth", "passt-s-f128-p16-s10-ap.476-swa.pt"},
        "table_families": wheel,
        "table_downstream": wheel,
    }
    assert absent == {f"not available: place {tmp_path / file}" for file in wanted.get(name, ())}
    minutes = makespan({one.step: one.seconds for one in plan}, KEYS, 2) / 60
    assert minutes < {"table_families": 60, "table_downstream": 45}.get(name, 20)  # these two have every family
    assert not (tmp_path / "out").exists()


def test_published_scales_say_what_to_make_and_to_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    engine = Engine(tmp_path / "out", ex_paper.ROOT, KEYS)
    texts = {one.outcome.text for one in make_plan(engine, made("table_sequence_length", "mtt").steps)}
    made_by = "(cd datasets/mtt && python preprocess.py)"
    assert all(text.startswith(f"not available: datasets/mtt/data/mtt/melspec/ is not there {made_by}; place ") for text in texts)
    assert sum(f"; datasets/mtt/data/groundtruth/mtt-maest/ is not there {made_by}" in text for text in texts) == 4
    (tmp_path / "datasets/mtt/data/mtt/melspec").mkdir(parents=True)
    (tmp_path / "datasets/mtt/data/groundtruth/mtt-maest").mkdir(parents=True)
    texts = {one.outcome.text for one in make_plan(engine, made("table_sequence_length", "mtt").steps)}
    assert texts == {f"not available: place {tmp_path}/discogs-maest-{n}s-pw-129e-swa.ckpt" for n in (5, 10, 20, 30)}


def test_tables_share_their_steps():
    def keys(name):
        return {KEYS(step): step for step in in_order(made(name, "demo").steps)}

    tokens = keys("table_tokens")
    training = [key for key, step in tokens.items() if step.trains]
    assert len(training) == 1
    for name in (
        "figure_blocks",
        "table_patchout_inference",
        "table_downstream",
        "table_families",
        "table_teacher_student",
        "table_sequence_length",
    ):
        assert training[0] in keys(name), name
    clmr = {key for key, step in keys("table_clmr").items() if step.title == "pre-train CLMR"}
    assert len(clmr) == 1
    assert clmr < set(keys("table_families"))
    a, b = ({key for key, step in keys(name).items() if step.trains} for name in ("table_out_of_domain", "table_families"))
    assert not a & b  # other tracks


def test_demo_and_smoke_share_nothing():
    a, b = ({KEYS(step) for step in in_order(made("table_tokens", scale).steps)} for scale in ("demo", "smoke"))
    assert not a & b


def test_a_setting_that_matters_makes_another_key_and_one_that_does_not_does_not():
    scale = ex_paper.build_scale(ex_paper.resolve("ex_paper.py", ["demo"], {}))
    net = maest.pretrained(scale)
    base = KEYS(net.checkpoint.step)
    assert KEYS(maest.pretrained(scale, "another name").checkpoint.step) == base
    assert KEYS(maest.pretrained(scale, **{"trainer.keep_checkpoints": 3}).checkpoint.step) == base
    assert KEYS(maest.pretrained(scale, **{"predict.transformer_block": 0}).checkpoint.step) == base
    others = [
        {"trainer.max_epochs": 25},
        {"seed": 1},
        {"module.optimizer.lr": 2e-3},
        {"datamodule.masking.do": False},
        {"maest.depth": 5},
    ]
    assert len({base, *(KEYS(maest.pretrained(scale, **change).checkpoint.step) for change in others)}) == 6
    extraction = KEYS(maest.extracted(scale, net))
    assert KEYS(maest.extracted(scale, net, **{"module.optimizer.lr": 1.0, "predict.html": False})) == extraction
    assert KEYS(maest.extracted(scale, net, **{"datamodule.tail": "pad"})) != extraction
    assert KEYS(maest.extracted(scale, net, [2])) != extraction


def test_a_default_that_changes_makes_other_keys(monkeypatch):
    scale = ex_paper.build_scale(ex_paper.resolve("ex_paper.py", ["demo"], {}))
    step = maest.pretrained(scale).checkpoint.step

    def changed(script, named, updates):
        found = ex_paper.resolve(script, named, updates)
        return {**found, "module": {**found["module"], "mixup_alpha": 0.1}} if script == "ex_maest.py" else found

    assert Keys(changed, ex_paper.ignored_keys)(step) != KEYS(step)


def test_a_table_is_added_by_a_function_alone():
    @table
    def table_of_a_test(scale):
        """One row."""
        return Table("table_of_a_test", "t", "none", ["x"], [])

    try:
        assert load_tables()["table_of_a_test"].doc == "One row."
        with pytest.raises(ValueError, match="two tables 'table_of_a_test'"):
            table(table_of_a_test)
    finally:
        TABLES.pop("table_of_a_test")


def test_a_family_is_added_by_a_function_alone():
    from helpers.paper import families

    @families.family("zzz")
    def systems(scale, target):
        step = recipes.music(scale)
        return [families.System("Zzz", Ref(step, "mels")), families.System("untrained Zzz", Ref(step, "mels"), trained=False)]

    try:
        found = made("table_families", "demo")
        assert [row.name for row in found.rows] == [
            "MAEST", "CLMR", "music2vec", "MusicFM", "musicnn (published)", "OMAR-RQ", "Zzz",
            "untrained MAEST", "untrained SampleCNN", "untrained music2vec", "untrained MusicFM", "untrained musicnn",
            "untrained OMAR-RQ", "untrained Zzz",
            "mel statistics, logistic regression",
        ]  # fmt: skip
        assert any(claim.between == "Zzz - untrained Zzz" for claim in found.claims)
        assert "Zzz" in [row.name for row in made("table_downstream", "demo").rows]
    finally:
        families._FAMILIES.pop("zzz")


# ---- papers' numbers
def test_the_file_is_whole():
    assert len(read_entries()) == 470
    assert {one["certainty"] for one in read_entries()} == {"verbatim-seed", "verbatim-stored", "image-transcribed", "derived"}
    assert not re.search(r"\bid \d{6,}|\bseed \d|(code|pages) corpus", FILE.read_text())


def test_shares_are_made_of_per_cent():
    assert find_score(Citation("CLMR", "SampleCNN/CLMR 48/10000, linear", "MTT", "ROC-AUC")).value == pytest.approx(0.887)
    assert find_score(Citation("MGPHot", "MAEST", "MTT (50 tags)", "mAP (mean of 5 seeds)")).value == pytest.approx(0.4926)
    for one in read_entries():
        scores = isinstance(one["value"], (int, float)) and one["table"] != "recipe" and one["metric"] not in ("setting", "clips")
        if scores and "MSE" not in one["metric"] and not one["metric"].startswith("clips"):
            assert (one["value"] > 1) == one["paper"].startswith(PER_CENT), json.dumps(one)


def test_a_number_of_magnatagatune_never_stands_without_its_clips():
    for name in NAMES:
        for scale in ("demo", "mtt"):
            for row in made(name, scale).rows:
                for citation in row.citations:
                    assert not citation.dataset.startswith("MTT") or "untagged clips" in find_score(citation).short


@pytest.mark.parametrize(
    "citation", [Citation("CLMR", "nothing", "MTT", "ROC-AUC"), Citation("M", "MAEST", "MTT (50 tags)", "mAP")]
)
def test_a_number_that_is_not_in_the_file_is_not_printed(citation):
    with pytest.raises(LookupError):
        find_score(citation)


def test_maests_own_tables_are_said_to_be_absent():
    for name in NAMES[:7]:
        assert any("MAEST paper's numbers of this table: not available" in note for note in made(name, "demo").notes), name
    assert not [one for one in read_entries() if one["paper"].startswith("MAEST") and "ROC" in one["metric"]]


def test_the_schema_of_scales():
    for name, named in configs.PAPER.items():
        check(ExPaper, configs.naming.merged(configs.options.defaults(ExPaper), named.values), extra=("seed",))
        assert named.doc, name
    assert Cell("text", text="why").step is None


def test_the_table_of_the_page_is_one():
    page = (ex_paper.ROOT / "docs" / "paper_tables.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    try:
        exec(compile(block, "paper_tables.md", "exec"), {})
        found = made("table_windows", "demo")
        assert len({KEYS(cell.step) for row in found.rows for cell in row.cells}) == 2
        assert TABLES["table_windows"].doc == "Does a probe want windows that overlap?"
    finally:
        TABLES.pop("table_windows", None)
    assert all(f"`{name}`" in page for name in NAMES)


def shorts(name: str, scale: str) -> set[str]:
    return {find_score(citation).short for row in made(name, scale).rows for citation in row.citations}


def test_numbers_that_are_not_of_these_cells_say_so():
    assert any("here they are kept, where nothing else is said: not comparable" in text for text in shorts("table_tokens", "mtt"))
    assert not any("not comparable" in text for text in shorts("table_tokens", "mtt_tagged"))
    for table_name in ("table_tokens", "table_families", "table_downstream", "table_out_of_domain"):
        assert any("183 tags together, other labels than here: not comparable" in t for t in shorts(table_name, "mtg_jamendo"))
    assert any(text.startswith("MSD ROC-AUC 0.884") for text in shorts("table_clmr", "msd"))


def test_published_networks_that_differ_in_more_than_the_table_asks_say_so():
    for name, demo, published in (
        ("table_teacher_student", "saw as many clips", "129 epochs, the student, which had its logits besides, for 73"),
        ("table_initial_weights", "differ", "for 75 epochs, the others for 129"),
    ):
        assert published in " ".join(made(name, "mtt").notes)
        assert published not in " ".join(made(name, "demo").notes)
        assert ("saw as many clips" in " ".join(made(name, "mtt").notes)) is False
        assert demo in " ".join([*made(name, "demo").notes, TABLES[name].doc])
    assert "129 epochs" in made("table_initial_weights", "mtt").claims[1].between
    notes = " ".join(made("table_downstream", "mtt").notes)
    assert "tagged: MagnaTagATune, 50 tags, without untagged clips." in notes
    assert "maest: MagnaTagATune, 50 tags, untagged clips kept." in notes


@pytest.mark.parametrize("scale", ["demo", "mtt"])
def test_mel_statistics_want_the_mels_alone(scale):
    found = made("table_families", scale)
    mels, untrained = found.rows[-1].cells[0].step, next(row for row in found.rows if row.name == "untrained MAEST").cells[0].step
    assert mels is untrained
    assert sum("data.mel_dir" in row.cells[0].step.updates for row in found.rows[:-1]) == 1
