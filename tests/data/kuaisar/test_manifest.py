"""What a conversion counts, and what it drops of it."""

import shutil

import pandas as pd
import pytest

from tfrs_models.data.kuaisar import Options, convert


@pytest.mark.parametrize("chunk_rows", [37, 250_000])
def test_a_click_that_the_log_repeats_is_one_sample(log, tmp_path, chunk_rows):
    directory, clicks, searches = log
    options = Options(k_core=1, num_eval_negatives=9)
    once = convert(directory, options)
    for path in directory.iterdir():
        shutil.copy(path, tmp_path)
    for file in ("rec_inter.csv", "src_inter.csv"):
        rows = pd.read_csv(tmp_path / file)
        pd.concat([rows, rows[::-1]]).to_csv(tmp_path / file, index=False)
    twice = convert(tmp_path, options, chunk_rows=chunk_rows)
    assert twice.manifest["samples"] == once.manifest["samples"]
    clicked = [row[:3] for row in clicks if row[3]]
    assert once.manifest["repeated"]["clicks"] == len(clicked) - len({*clicked})
    assert twice.manifest["repeated"]["clicks"] == 2 * len(clicked) - len({*clicked})
    clicked = [(row[1], row[4]) for row in searches if row[5]]
    repeated = len(clicked) - len({*clicked})
    assert once.manifest["repeated"]["search_clicks"] == repeated > 0
    for session, row in enumerate(twice.sessions["pos_items"]):
        found = row[row > 0]
        assert len({*found}) == len(found), session


def test_the_manifest_counts_rows_and_what_stands_out_of_order(log):
    directory, clicks, searches = log
    manifest = convert(directory, Options(k_core=1, num_eval_negatives=9)).manifest
    rows = {"rec_inter.csv": len(clicks), "src_inter.csv": len(searches)}
    assert manifest["rows"] == rows
    latest, behind = {}, 0
    for user, _, time in dict.fromkeys(row[:3] for row in clicks if row[3]):
        behind += time < latest.get(user, 0)
        latest[user] = max(time, latest.get(user, 0))
    assert manifest["out_of_order"]["clicks"] == behind > 0
    assert manifest["options"]["ties"] == "strictly_earlier"
