"""Settings of the three tasks: what they refuse and how they say so; plain data and TOML and back; independent streams."""

from dataclasses import fields

import numpy as np
import pytest

from dynsim import Experiment, GradientDescent
from dynsim.cli import main
from dynsim.systems import attention_kernels as ak
from dynsim.systems.attention_kernels.attention import BLOCKS
from dynsim.systems.attention_kernels.regression.data import draw_samples, draw_weights
from dynsim.systems.attention_kernels.settings import CLASSIFICATIONS, EXAMPLES, streams

from ...helpers import same_bits

KINDS = {"regression": ak.Regression, **dict.fromkeys(EXAMPLES, ak.Example), **dict.fromkeys(CLASSIFICATIONS, ak.Classification)}

CHANGED = [
    ak.Regression(kernel="gaussian", trained="QK", N=3, D=9, paired=True, H=4, qk_scale=0.0, tied=True, pooled=True, targets="teacher"),
    ak.Regression(N=2.0, qk_scale=1), ak.Example("E1", "softmax", 3, -1, 1, 0.25), ak.Example("E4", starts=1, low=2, high=2),
    ak.Classification("path", "row_gaussian", 2, residual=False, trained="attention", samples=40, batch=0, pretrained=3, pretrain_batch=4),
]


@pytest.mark.parametrize("setting", [kind(task=task) for task, kind in KINDS.items()] + CHANGED, ids=lambda s: s.task)
def test_plain_data_and_back(setting):
    plain = setting.to_dict()
    assert list(plain) == [f.name for f in fields(setting)] and all(type(v) in (str, int, float, bool) for v in plain.values())
    again = ak.Setting.from_dict(plain)
    assert again == setting and type(again) is KINDS[setting.task] and setting.replace() == setting
    assert isinstance(setting, ak.Setting) and hash(again) == hash(setting)


@pytest.mark.parametrize("setting", CHANGED, ids=lambda s: s.task)
def test_toml_and_back(setting, tmp_path):
    experiment = Experiment("attention_kernels", setting, GradientDescent(0.1), 5, record={"train_loss": 2}, rates={"adam": 1e-3})
    path = tmp_path / "experiment.toml"
    path.write_text(experiment.to_toml(), encoding="utf-8")
    assert Experiment.from_toml(path) == experiment


def test_a_mapping_without_task_is_a_regression():
    assert ak.Setting.from_dict({"D": 30}) == ak.Regression(D=30) and ak.Setting.from_dict({}) == ak.Regression()


def test_letters_have_one_order_and_whole_numbers_are_ints():
    assert ak.Regression(trained="OVKQ") == ak.Regression(trained="QKVO") and ak.Regression(trained="VQ").trained == "QV"
    setting = ak.Regression(N=np.int64(3), qk_scale=np.float64(2.0), o_scale=1)
    assert [type(v) for v in (setting.N, setting.qk_scale, setting.o_scale)] == [int, float, float]
    assert type(ak.Example(low=-1, y=np.float32(0.5)).low) is float


WHOLE = {  # lowest value allowed
    ak.Regression: {"N": 1, "n": 1, "D": 1, "d": 1, "H": 1, "d_o": 1}, ak.Example: {"starts": 1},
    ak.Classification: {"D": 1, "d": 1, "H": 1, "hidden": 1, "samples": 2, "test": 2, "batch": 0, "pretrained": 0, "pretrain_batch": 1,
                        "grid": 4, "distractors": 0},
}
NUMBERS = {  # True where 0 is refused, too
    ak.Regression: {"qk_scale": False, "v_scale": False, "o_scale": True}, ak.Example: {},
    ak.Classification: {"pretrain_lr": True, "flipped": False},
}
FLAGS = {ak.Regression: ("pooled", "tied", "paired"), ak.Example: (), ak.Classification: ("residual",)}
CHOICES = {ak.Regression: ("tokens", "targets"), ak.Example: (), ak.Classification: ("trained",)}


def bad_values():
    for kind in (ak.Regression, ak.Example, ak.Classification):
        for name, low in WHOLE[kind].items():
            for value in (low - 1, low + 0.5, "3", None, True, float("nan"), float("inf")):
                yield kind, {name: value}, rf"{name}={value!r} must be an integer >= {low}"
        for name, positive in NUMBERS[kind].items():
            for value in (-1.0, float("nan"), float("inf"), "1", True, *([0.0] if positive else [])):
                yield kind, {name: value}, rf"{name}={value!r} must be a finite number {'> 0' if positive else '>= 0'}"
        for name in FLAGS[kind]:
            for value in (1, 0, "true", None):
                yield kind, {name: value}, f"{name}={value!r} must be true or false"
        for name in CHOICES[kind]:
            for value in ("norml", 3, None):
                yield kind, {name: value}, f"unknown {name} '{value}'.*Valid: "
        for value in (3, None, ["softmax"]):
            yield kind, {"kernel": value}, "kernel=.* must be a text such as 'softmax"
        yield kind, {"kernel": "softmx"}, "unknown kernel 'softmx': did you mean 'softmax'"
        yield kind, {"kernel": ""}, "unknown kernel ''"
        yield kind, {"kernel": "softmax+softmax"}, "names a kernel twice"
    for value in ("", "W", "QQ", "q", 3, None, ["Q"]):
        yield ak.Regression, {"trained": value}, "trained=.* must be letters of 'QKVO', each once, such as 'V' or 'QKV'"
    yield ak.Regression, {"tokens": "orthonormal", "D": 19}, "needs D >= N n = 20, not D=19: raise D or lower N or n"
    yield ak.Regression, {"paired": True, "H": 3}, "paired=True needs an even number of heads, not H=3"
    for name in ("low", "high", "y"):
        for value in (float("nan"), float("-inf"), "0", True):
            yield ak.Example, {name: value}, f"{name}={value!r} must be a finite number"
    yield ak.Example, {"low": 2.0, "high": 1.0}, "low=2 must be below high=1"
    yield ak.Example, {"low": 1.0, "high": 1.0}, "low=1 must be below high=1"
    yield ak.Classification, {"layers": 0}, r"layers=0 must be an integer in \[1, 2\]"
    yield ak.Classification, {"layers": 3}, r"layers=3 must be an integer in \[1, 2\]"
    yield ak.Classification, {"flipped": 0.51}, r"flipped=0.51 must lie in \[0, 0.5\]"
    for name, besides in (("batch", {}), ("pretrain_batch", {"pretrained": 1})):
        yield ak.Classification, {name: 1501, **besides}, f"{name}=1501 must be at most samples=1500"


@pytest.mark.parametrize("kind", [ak.Regression, ak.Example, ak.Classification])
def test_bad_values_name_field_value_and_range(kind):
    tried = 0
    for of, values, says in bad_values():
        if of is kind:
            tried += 1
            with pytest.raises(ValueError, match=says):
                kind(**values)
            with pytest.raises(ValueError, match=says):
                kind().replace(**values)
    assert tried > 10


def test_edges_are_allowed():
    for kind in (ak.Regression, ak.Example, ak.Classification):
        few = {"pretrain_batch": 1, "batch": 0} if kind is ak.Classification else {}
        for name, low in WHOLE[kind].items():
            assert getattr(kind(**{**few, name: low}), name) == low
    assert ak.Regression(tokens="orthonormal", D=20).D == 20 and ak.Classification(flipped=0.5, batch=1500).batch == 1500


def test_another_task_is_another_kind_of_setting():
    for task in ("E5", "text"):
        with pytest.raises(ValueError, match=rf"unknown task '{task}'.*; other tasks have other fields: start from their presets"):
            ak.Regression(task=task)
        with pytest.raises(ValueError, match="start from their presets"):
            ak.experiment("value_only").vary({"task": task})
    assert ak.preset("stuck").replace(task="E3").task == "E3", "examples share their fields"
    with pytest.raises(ValueError, match="unknown task 'E7': did you mean"):
        ak.Setting.from_dict({"task": "E7"})
    with pytest.raises(ValueError, match="unknown setting field 'D'.*Valid: task, kernel, starts"):
        ak.Setting.from_dict({"task": "E5", "D": 3})
    with pytest.raises(ValueError, match="unknown setting field 'widht'"):
        ak.Regression().replace(widht=3)


def test_a_task_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="unknown task"):
        ak.Setting.from_dict({"task": ["E5"]})


def test_the_command_line_says_so_too(capsys, tmp_path):
    options = ["run", "attention_kernels", "--preset", "value_only", "--steps", "1", "--figures", "none", "--out", str(tmp_path / "run")]
    assert main([*options, "--set", "task=E5"]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "other tasks have other fields" in said and "Traceback" not in said and not (tmp_path / "run" / "trajectory.npz").exists()


# -- streams ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0", None])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match=r"seed=.* must be an integer >= 0"):
        streams(seed)


def test_streams_are_independent_and_changing_one_use_leaves_the_others():
    first = {name: np.random.default_rng(s).standard_normal(4) for name, s in streams(0).items()}
    assert len({tuple(x) for x in first.values()}) == len(first) >= 10
    assert all(not np.array_equal(np.random.default_rng(s).standard_normal(4), first[name]) for name, s in streams(1).items())
    base = ak.Regression(H=4)
    for change, moved in (({"qk_scale": 2.0}, {"W_Q", "W_K"}), ({"v_scale": 0.0}, {"W_V"}), ({"o_scale": 3.0}, {"W_O"}),
                          ({"tied": True}, {"W_K"}), ({"kernel": "row_gaussian"}, set()), ({"targets": "teacher"}, set()),
                          ({"trained": "QKV"}, set())):
        other = base.replace(**change)
        W, V = draw_weights(base, 3), draw_weights(other, 3)
        assert {name for name in BLOCKS if not same_bits(W[name], V[name])} == moved, change
        assert same_bits(draw_samples(base, 3).X, draw_samples(other, 3).X)
    assert same_bits(draw_samples(base, 3).Y[0], draw_samples(base.replace(qk_scale=9.0, kernel="gaussian"), 3).Y[0])
