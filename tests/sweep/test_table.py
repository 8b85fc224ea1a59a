"""Tables: rows in the order of the design, and out as NumPy, CSV, LaTeX, NetCDF, pandas and xarray."""

import csv
import io
import json

import numpy as np
import pytest

from dynsim import Sampled, load_table, sweep
from dynsim.sweep import Table, join
from dynsim.systems import signal_noise

from .test_engine import assert_same_table

TINY = signal_noise.experiment("tiny")
OVER = {"m_k": [2, 4, 8], "lr": [0.01, 0.02]}


@pytest.fixture(scope="module")
def table():
    return sweep(TINY, OVER, seeds=3, measure=["train_loss<0.5", "train_loss@end", "stage_one_end", "turns"], steps=40, workers=1)


def test_shape_and_order(table):
    assert table.cells == 18 and table.axes == ("m_k", "lr")
    assert table["m_k"].tolist() == sorted(table["m_k"].tolist()) and table["seed"][:4].tolist() == [0, 1, 2, 0]
    assert table["key_turns"].shape == (18, 3) and table["stage_one_end"].dtype.kind == "U"
    assert list(table)[:3] == ["m_k", "lr", "seed"] and list(table)[-2:] == ["steps", "error"]
    assert table.measured[:2] == ("train_loss<0.5", "train_loss@end")
    with pytest.raises(KeyError, match="did you mean 'train_loss@end'"):
        table["train_loss@ned"]


def test_selections(table):
    some = table.where(m_k=4, lr=0.02)
    assert some.cells == 3 and set(some["m_k"]) == {4}
    with pytest.raises(ValueError, match="no row has m_k=5; there are 2, 4, 8"):
        table.where(m_k=5)
    points = list(table.points())
    assert len(points) == 6 and points[0][0] == {"m_k": 2, "lr": 0.01} and points[5][1].cells == 3
    arm = table.along("m_k")  # the other variable at the experiment's own value
    assert arm.axes == ("m_k",) and arm.cells == 9 and "lr" not in arm
    assert table.arm("m_k") is table
    with pytest.raises(KeyError):
        table.along("n")


def test_a_star_of_points_has_arms():
    star = sweep(TINY, [{"m_k": 4, "lr": 0.01}, {"m_k": 8, "lr": 0.01}, {"m_k": 4, "lr": 0.02}], seeds=2, measure="train_loss@end",
        workers=1)
    assert star.arm("m_k")["m_k"].tolist() == [4, 4, 8, 8] and star.arm("lr")["lr"].tolist() == [0.01, 0.01, 0.02, 0.02]


def test_netcdf_brings_everything_back(table, tmp_path):
    again = load_table(table.save(tmp_path / "t.nc"))
    assert_same_table(again, table)
    assert again.axes == table.axes and again.docs == table.docs and json.dumps(again.about) == json.dumps(table.about)
    assert again.experiment == table.experiment
    (tmp_path / "x.nc").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="x.nc"):
        load_table(tmp_path / "x.nc")
    run = TINY.run().save(tmp_path / "run.nc")
    with pytest.raises(ValueError, match="no table of dynsim"):
        load_table(run)


def test_xarray_reads_the_netcdf_file(table, tmp_path):
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(table.save(tmp_path / "t.nc"), engine="scipy") as data:
        assert np.array_equal(data["train_loss@end"].values, table["train_loss@end"])
        assert data["key_turns"].dims == ("cell", "key_turns_item")
        assert data["m_k"].values.tolist() == table["m_k"].tolist()
        assert json.loads(data.attrs["dynsim"])["about"]["seeds"] == [0, 1, 2]


def test_to_xarray_has_an_axis_a_variable_where_the_points_are_a_grid(table):
    pytest.importorskip("xarray")
    data = table.to_xarray()
    assert data["train_loss@end"].dims == ("m_k", "lr", "seed") and data.sizes == {"m_k": 3, "lr": 2, "seed": 3, "key_turns_item": 3,
                                                                                     "query_turns_item": 3}
    for point, rows in table.points():
        assert np.array_equal(data["train_loss@end"].sel(point).values, rows["train_loss@end"])
    sampled = sweep(TINY, Sampled({"sigma_p": (1.0, 3.0)}, 4), seeds=2, measure="train_loss@end", workers=1)
    assert sampled.rows(np.arange(7)).to_xarray()["train_loss@end"].dims == ("cell",)


def test_to_pandas(table):
    pytest.importorskip("pandas")
    frame = table.to_pandas()
    assert len(frame) == 18 and frame["train_loss@end"].tolist() == table["train_loss@end"].tolist()
    assert frame["key_turns[2]"].shape == (18,)
    assert frame.groupby(["m_k", "lr"])["train_loss@end"].mean().shape == (6,)


def test_to_numpy(table):
    rows = table.to_numpy()
    assert rows.shape == (18,) and rows["key_turns"].shape == (18, 3) and rows[5]["lr"] == table["lr"][5]


def test_csv_round_trips(table, tmp_path):
    rows = list(csv.DictReader(io.StringIO(table.save(tmp_path / "t.csv").read_text())))
    assert [float(r["train_loss@end"]) for r in rows] == table["train_loss@end"].tolist()
    assert [r["train_loss<0.5"] for r in rows] == ["" if np.isnan(v) else repr(v) for v in table["train_loss<0.5"].tolist()]
    assert [r["stage_one_end"] for r in rows] == table["stage_one_end"].tolist()


def test_latex_and_text_show_a_line_a_point(table, tmp_path):
    text = table.save(tmp_path / "t.tex").read_text()
    assert text.count(r"\\") == 7 and r"train\_loss@end" in text and "3 holds" in text
    lines = str(table).split("\n")
    assert len(lines) == 7 and lines[0].split()[:3] == ["m_k", "lr", "seeds"] and "errors" not in lines[0]
    with pytest.raises(ValueError, match="must end in .nc"):
        table.save(tmp_path / "t.xls")


def test_errors_are_shown():
    table = sweep(TINY, {"s": [4, 400]}, seeds=1, measure="train_loss@end", workers=1)
    assert str(table).split("\n")[0].split()[-1] == "errors" and len(table.errors) == 1


def test_an_empty_table(tmp_path):
    from dynsim.sweep.table import assemble

    about = sweep(TINY, {"m_k": [2]}, seeds=1, measure=["train_loss@end", "turns", "stage_one_end"], workers=1).about
    empty = assemble(about, [])
    assert empty.cells == 0 and str(empty).startswith("m_k") and empty.errors == []
    assert load_table(empty.save(tmp_path / "e.nc")).cells == 0
    assert empty.to_csv().count("\n") == 1


def test_join(table):
    both = join([table.where(lr=0.01), table.where(lr=0.02)])
    assert both.cells == 18 and both.axes == table.axes
    assert isinstance(both, Table)
