"""The checks of quality.py by Great Expectations, on the file given: run by it in an environment of its own."""

from __future__ import annotations

import datetime
import json
import re
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
begin = time.perf_counter()
import great_expectations as gx  # noqa: E402
import great_expectations.expectations as gxe  # noqa: E402
import pandas as pd  # noqa: E402

FULL = ["id", "qty", "price", "total", "email", "sku", "created", "updated", "f0", "f1", "f2", "f3"]
checks = [
    *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in FULL),
    gxe.ExpectColumnValuesToNotBeNull(column="amount", mostly=0.98),
    gxe.ExpectColumnValuesToBeUnique(column="id"),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=10_000),
    gxe.ExpectColumnValuesToBeBetween(column="qty", min_value=1, max_value=100),
    gxe.ExpectColumnValuesToMatchRegex(column="email", regex=r"^[^@\s]+@[^@\s]+\.[a-z]+$"),
    gxe.ExpectColumnValuesToMatchRegex(column="sku", regex=r"^SKU-[0-9]{6}$"),
    gxe.ExpectColumnValuesToBeInSet(column="country", value_set=[f"C{i:02d}" for i in range(20)]),
    gxe.ExpectColumnValuesToBeInSet(column="status", value_set=["new", "paid", "sent", "done"]),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="updated", column_B="created", or_equal=True),
    gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="total", column_B="price", or_equal=True),
    gxe.ExpectColumnMaxToBeBetween(column="created", min_value=datetime.datetime(2026, 11, 19, tzinfo=datetime.UTC)),
]
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
asset = context.data_sources.add_pandas("orders").add_dataframe_asset("orders")
batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.read_parquet(sys.argv[1])})
result = batch.validate(gx.ExpectationSuite(name="orders", expectations=checks), result_format="BASIC")
failed = sum(not one.success for one in result.results)
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
found = f"{failed} of {len(result.results)} broken"
print(json.dumps({"seconds": time.perf_counter() - begin, "peak": peak, "found": found}))
