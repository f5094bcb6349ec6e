"""Lance's filters: text in the SQL of its scans."""

from __future__ import annotations

from datetime import datetime

import polars as pl


def among(column: str, cells: pl.Series) -> str:
    """Lance's filter for rows whose cell is one of these; empty for types it has no plain literal of."""
    if cells.dtype == pl.String:
        literals = [f"""'{cell.replace("'", "''")}'""" for cell in cells.to_list()]
    elif cells.dtype == pl.Int64:
        literals = [str(cell) for cell in cells.to_list()]
    elif cells.dtype == pl.Binary:
        literals = [f"X'{cell}'" for cell in cells.bin.encode("hex").to_list()]
    else:
        return ""
    return f"`{column}` IN ({', '.join(dict.fromkeys(literals))})"


def time_filter(column: str, since: datetime | None, until: datetime | None) -> str | None:
    """Lance's filter for since < column <= until."""

    def literal(moment: datetime) -> str:
        return f"arrow_cast('{moment.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"

    parts = []
    if since is not None:
        parts.append(f"`{column}` > {literal(since)}")
    if until is not None:
        parts.append(f"`{column}` <= {literal(until)}")
    return " AND ".join(parts) or None
