"""check() on runs, saved runs, and claims of one's own."""

from __future__ import annotations

import dataclasses

import pytest

from dynsim import Claim, Measured, SignGD, check, load, simulate
from dynsim.registry import SYSTEMS, system_module
from dynsim.systems import signal_noise


@pytest.fixture(scope="module")
def run():
    return signal_noise.experiment("tiny").run()


def test_check_of_a_saved_run_gives_the_same_report(run, tmp_path):
    assert check(load(run.save(tmp_path / "run.npz"))).to_dict() == check(run).to_dict()


def test_evidence_mapping_and_run_are_the_same(run):
    assert check({"run": run}).to_dict() == check(run).to_dict()


def test_ones_own_claim_and_its_opposite(run):
    def falls(evidence):
        loss = evidence["run"]["train_loss"]
        return Measured(loss[-1], loss[0], loss[-1] / loss[0], 1.0)

    def rises(evidence):
        loss = evidence["run"]["train_loss"]
        return Measured(loss[-1], loss[0], loss[0] / loss[-1], 1.0)

    report = check(run, [Claim("falls", "the loss falls", falls), Claim("rises", "the loss rises", rises)])
    assert [v.verdict for v in report.verdicts] == ["holds", "violated"]


def test_control_leaves_out_claims_without_one(run):
    assert check(run, [Claim("c", "s", lambda e: Measured(0, 0, 0, 1))], control=True).verdicts == ()


def test_replicates_are_refused_with_the_fix():
    system = signal_noise.lumped(signal_noise.preset("tiny"), SignGD, seed=[0, 1])
    run = simulate(system, SignGD(0.01), steps=3)
    with pytest.raises(ValueError, match="replicate"):
        check(run)
    assert check(run.replicate(1)).verdicts


def test_evidence_without_a_system_needs_claims(run):
    with pytest.raises(ValueError, match="claims="):
        check(dataclasses.replace(run, provenance={}))


def test_unknown_system_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'signal_noise'"):
        system_module("signal_nois")
    assert all(system_module(name).CLAIMS for name in SYSTEMS)
