"""Systems from a setting and a seed."""

import pytest

from dynsim.systems import gradient_heterogeneity as gh


@pytest.mark.parametrize(("setting", "model"), [
    (gh.Quadratic(), gh.BlockQuadratic), (gh.Logistic(), gh.LogisticBlocks), (gh.Transformer(), gh.TransformerModel),
    (gh.Head(), gh.LinearHead),
], ids=lambda value: getattr(value, "task", ""))
def test_every_kind_of_setting_has_its_model(setting, model):
    assert isinstance(gh.dense(setting, 1), model) and isinstance(gh.best(setting, None, 1), model)


@pytest.mark.parametrize("wrong", [3, "quadratic", gh.Quadratic], ids=str)
def test_what_is_no_setting_is_refused(wrong):
    with pytest.raises(TypeError, match="setting=.* must be a Quadratic, Logistic, Transformer, Head"):
        gh.dense(wrong)
