"""Data made by hand that is wrong."""

import dataclasses

import numpy as np
import pytest


def with_samples(data, task, split, **columns):
    splits = data.samples[task]
    changed = {**splits, split: {**splits[split], **columns}}
    return dataclasses.replace(data, samples={**data.samples, task: changed})


@pytest.mark.parametrize(
    ("table", "column"), [("sessions", "pos_items"), ("items", "caption")]
)
def test_lists_need_two_axes(data, table, column):
    columns = getattr(data, table)
    changed = {**columns, column: columns[column][:, 0]}
    message = rf"`{table}\['{column}'\]` must be of rank 2"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(data, **{table: changed})


def test_attributes_have_a_row_for_each_item_and_for_padding(data):
    message = r"`items` must have columns of one length. Got \{'num_items \+ 1': "
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(data, num_items=data.num_items - 1)


def test_a_negative_attribute_is_told_the_rule_of_attributes(data):
    users = {"onehot_feat1": np.arange(data.num_users) - 1}
    message = r"`users\['onehot_feat1'\]` must be at least 0. Got -1 in row 0\.$"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(data, users=users)


def test_samples_without_a_list_of_negatives_are_refused(data):
    negatives = data.samples["search"]["test"]["negatives"][:, 0]
    message = r"samples\['search'\]\['test'\]\['negatives'\]` must be of rank 2"
    with pytest.raises(ValueError, match=message):
        with_samples(data, "search", "test", negatives=negatives)


@pytest.mark.parametrize("word", [10**6, -1])
def test_a_query_of_a_word_that_no_table_has_is_refused(data, word):
    query = data.samples["search"]["train"]["query"].copy()
    query[3, 0] = word
    message = r"\['query'\]` must be from 0 to \d+. Got -?\d+ in row 3: it is not in"
    with pytest.raises(ValueError, match=message):
        with_samples(data, "search", "train", query=query)


def test_a_history_that_counts_the_future_is_refused(data):
    """As where a sample has its user's number of searches, of all days."""
    columns = data.samples["recommendation"]["train"]
    total = np.diff(data.session_histories.row_splits)[columns["user_id"]]
    row = int(np.argmax(total > columns["num_sessions"]))
    message = rf"\['num_sessions'\]` must count what came before .* in row {row}, of"
    with pytest.raises(ValueError, match=message):
        with_samples(data, "recommendation", "train", num_sessions=total)


def test_a_negative_that_was_clicked_is_refused(data):
    columns = data.samples["search"]["test"]
    negatives = columns["negatives"].copy()
    negatives[2, 5] = columns["item_id"][2]
    message = rf"must be other items .* Got {columns['item_id'][2]} in row 2"
    with pytest.raises(ValueError, match=message):
        with_samples(data, "search", "test", negatives=negatives)
    with pytest.raises(ValueError, match=r"\['negatives'\]` must have a column"):
        with_samples(data, "search", "test", negatives=negatives[:, :0])


def test_a_missing_task_split_or_column_is_named(data):
    samples = {"recommendation": data.samples["recommendation"]}
    with pytest.raises(ValueError, match="`samples` must have 'train' of 'search'"):
        dataclasses.replace(data, samples=samples)
    columns = {**data.samples["search"]["test"]}
    del columns["query"]
    samples = {**data.samples, "search": {**data.samples["search"], "test": columns}}
    with pytest.raises(ValueError, match=r"\['test'\]` must have \['query'\]. Got"):
        dataclasses.replace(data, samples=samples)
