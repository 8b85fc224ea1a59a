"""The update rules step by step against `torch.optim`, on a model that PyTorch differentiates by itself."""

import warnings

import numpy as np
import pytest

from dynsim import Adam, GradientDescent, iterate
from dynsim.systems import signal_noise

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of importing PyTorch are not ours
    torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # arrays this small only wait for other threads

STEPS = 200
SETTING = signal_noise.Setting(n=4, d=40, s=6, m_k=5, m_v=3, sigma_0=0.1)
NAMES = ("W_Q", "W_K", "W_V_pos", "W_V_neg")

RULES = {
    "SGD": (GradientDescent(0.3), lambda p: torch.optim.SGD(p, lr=0.3)),
    "SGD with momentum": (GradientDescent(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "Adam": (Adam(2e-3), lambda p: torch.optim.Adam(p, lr=2e-3, foreach=False)),
    "Adam, other memories, large eps": (
        Adam(2e-3, beta1=0.5, beta2=0.9, eps=1e-3), lambda p: torch.optim.Adam(p, lr=2e-3, betas=(0.5, 0.9), eps=1e-3, foreach=False)),
}  # fmt: skip


def weights_of(system, params):
    """Return the weights as the paper writes them: W_Q, W_K (m_k, D), W_V_pos, W_V_neg (m_v, D)."""
    blocks = system.layout.views(params)
    return dict(zip(NAMES, (blocks.W_QK[0].T, blocks.W_QK[1].T, blocks.W_V[0], blocks.W_V[1]), strict=True))


def loss_of(W_Q, W_K, W_V_pos, W_V_neg, X, y):
    """The model from its definition: X (n, token, D), softmax over the tokens a key can be, outputs summed over the tokens that ask."""
    attention = torch.softmax((X @ W_Q.T) @ (X @ W_K.T).mT, dim=-1)
    context = (attention @ X).sum(1)
    f = (context @ W_V_pos.T).mean(-1) - (context @ W_V_neg.T).mean(-1)
    return torch.nn.functional.softplus(-y * f).mean()


def torch_run(system, make, steps):
    """Yield the weights before any update and after every one."""
    data, blocks = system.data, weights_of(system, system.start)
    X = np.stack([data.y[:, None] * data.mu, data.xi], axis=1)
    if system.features.size < data.d:
        X = X[..., data.columns]
    X, y = torch.tensor(X, dtype=torch.float64), torch.tensor(data.y, dtype=torch.float64)
    weights = {name: torch.tensor(w.copy(), dtype=torch.float64, requires_grad=True) for name, w in blocks.items()}
    optimizer = make(list(weights.values()))
    for step in range(steps + 1):
        yield {name: w.detach().numpy() for name, w in weights.items()}
        if step < steps:
            optimizer.zero_grad()
            loss_of(**weights, X=X, y=y).backward()
            optimizer.step()


def gaps(system, rule, make, steps=STEPS):
    """Return the largest difference of any weight at every step, and how far the weights have moved in the end."""
    found, start = [], {name: w.copy() for name, w in weights_of(system, system.start).items()}
    for state, theirs in zip(iterate(system, rule), torch_run(system, make, steps), strict=False):
        ours = weights_of(system, state.params)
        found.append(max(np.abs(ours[name] - theirs[name]).max() for name in NAMES))
    return np.array(found), max(np.abs(ours[name] - start[name]).max() for name in NAMES)


@pytest.mark.parametrize("name", RULES)
def test_every_weight_agrees_at_every_step(name):
    rule, make = RULES[name]
    found, moved = gaps(signal_noise.dense(SETTING, seed=0), rule, make)
    assert len(found) == STEPS + 1 and moved > 0.1
    assert found.max() < 1e-10  # rounding, which 200 steps of a smooth descent do not amplify beyond some 1e4 ulps
    # negative control: a rate that is wrong by a part in a million
    wrong = type(rule)(**{**vars(rule), "lr": rule.lr * (1 + 1e-6)})
    assert gaps(signal_noise.dense(SETTING, seed=0), wrong, make, 20)[0].max() > 1e-9


def test_adam_without_eps_agrees_on_the_union_of_supports():
    rule = Adam(2e-3, eps=0.0)
    found, moved = gaps(signal_noise.restricted(SETTING, seed=0), rule, lambda p: torch.optim.Adam(p, lr=2e-3, eps=0.0, foreach=False))
    assert found.max() < 1e-10 and moved > 0.1


def test_adam_without_eps_is_nan_in_torch_where_no_gradient_ever_was():
    system = signal_noise.dense(SETTING, seed=0)
    *_, theirs = torch_run(system, lambda p: torch.optim.Adam(p, lr=2e-3, eps=0.0, foreach=False), 1)
    trained = np.zeros(SETTING.d, dtype=bool)
    trained[system.data.columns] = True
    assert not trained.all() and all(np.isnan(theirs[name][:, ~trained]).all() for name in NAMES)
    assert all(np.isfinite(theirs[name][:, trained]).all() for name in NAMES)
    for state in iterate(system, Adam(2e-3, eps=0.0)):  # here 0/0 is 0: such a weight stays
        if state.step == 1:
            break
    ours, start = weights_of(system, state.params), weights_of(system, system.start)
    assert all(np.array_equal(ours[name][:, ~trained], start[name][:, ~trained]) for name in NAMES)
    assert all(np.abs(ours[name][:, trained] - theirs[name][:, trained]).max() < 1e-15 for name in NAMES)
