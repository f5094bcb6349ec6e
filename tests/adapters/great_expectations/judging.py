"""Run by Great Expectations' own Python: a suite on Parquet files, and one line of JSON with what each check said."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import great_expectations as gx  # noqa: E402


def main() -> None:
    suite = gx.ExpectationSuite(**json.loads(Path(sys.argv[1]).read_text("utf-8")))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    answers = []
    for file in sys.argv[2:]:
        result = context.data_sources.pandas_default.read_parquet(file).validate(suite)
        told = []
        for one in result.results:
            assert not (one.exception_info or {}).get("raised_exception"), one.exception_info
            config = one.expectation_config
            told.append([config.type, dict(config.meta or {}), bool(one.success)])
        answers.append(told)
    print(json.dumps({"answers": answers, "suite": suite.to_json_dict()}))


main()
