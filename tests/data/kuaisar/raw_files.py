"""A raw log in files."""

import pandas as pd

from tfrs_models.data.kuaisar import Options

HOUR = 60 * 60 * 1000
START = 1_684_720_800_000  # 22 May 2023, 02:00 UTC


def write(directory, clicks, searches, users, items):
    """A raw log; `clicks`: user, item, time, click; `searches`: user, session, time,
    keyword, item, clicks."""
    pd.DataFrame(clicks, columns=["user_id", "item_id", "timestamp", "click"]).to_csv(
        directory / "rec_inter.csv", index=False
    )
    columns = ["user_id", "search_session_id", "search_session_timestamp"]
    pd.DataFrame(
        searches, columns=[*columns, "keyword", "item_id", "click_cnt"]
    ).to_csv(directory / "src_inter.csv", index=False)
    features = ["onehot_feat1", "onehot_feat2", "search_active_level"]
    pd.DataFrame(
        [[user, user % 3, 1, 2, 0] for user in users],
        columns=["user_id", *features, "rec_active_level"],
    ).to_csv(directory / "user_features.csv", index=False)
    pd.DataFrame(
        [
            [item, f"[{item % 7}, {item % 5 + 10}]", item % 4, item % 6]
            for item in items
        ],
        columns=[
            "item_id",
            "caption",
            "first_level_category_id",
            "second_level_category_id",
        ],
    ).to_csv(directory / "item_features.csv", index=False)


GOOD = {
    "clicks": [(1, 10 + n % 8, START + n * HOUR, 1) for n in range(20)],
    "searches": [(1, n, START + n * HOUR + 1, "[3]", 10 + n % 8, 1) for n in range(20)],
    "users": [1],
    "items": range(10, 18),
}
EASY = Options(k_core=1, num_eval_negatives=1, num_train_negatives=1)
