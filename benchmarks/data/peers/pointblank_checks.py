"""The checks of quality.py by pointblank, on the file given: run by it in an environment of its own."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

begin = time.perf_counter()
import pointblank as pb  # noqa: E402
import polars as pl  # noqa: E402

FULL = ["id", "qty", "price", "total", "email", "sku", "created", "updated", "f0", "f1", "f2", "f3"]
done = (
    pb.Validate(pl.read_parquet(sys.argv[1]))
    .col_vals_not_null(columns=FULL)
    .col_vals_not_null(columns="amount", thresholds=0.02)
    .rows_distinct(columns_subset="id")
    .col_vals_between("amount", 0, 10_000, na_pass=True)
    .col_vals_between("qty", 1, 100)
    .col_vals_regex("email", r"^[^@\s]+@[^@\s]+\.[a-z]+$")
    .col_vals_regex("sku", r"^SKU-[0-9]{6}$")
    .col_vals_in_set("country", [f"C{i:02d}" for i in range(20)])
    .col_vals_in_set("status", ["new", "paid", "sent", "done"])
    .col_vals_ge("updated", pb.col("created"))
    .col_vals_ge("total", pb.col("price"))
    .interrogate(collect_extracts=False)
)
failed = sum(bool(step.n_failed) for step in done.validation_info)
peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
found = f"{failed} of {len(done.validation_info)} broken"
print(json.dumps({"seconds": time.perf_counter() - begin, "peak": peak, "found": found}))
