"""What a model is like: found once on the rows that judged it, and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab.errors import PermanentError

if TYPE_CHECKING:
    import polars as pl

    from trimtab.loop.analysis.kept import ModelAnalysis
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.wiring.place import Place


def analysis_of(place: Place, entry: Entry[ModelTrained], *, again: bool = False) -> ModelAnalysis:
    """The analysis of a model: the one that is kept, or a new one, which is kept then. Raises PermanentError where
    there is none and the rows are gone."""
    from trimtab.loop.analysis.analyse import analyse, groups_of
    from trimtab.loop.analysis.kept import analysis_ref, keep, kept

    system, fact = place.system, entry.fact
    name = analysis_ref(fact.identity.id, groups_of(system))
    found = None if again else kept(place.blobs, name)
    if found is None:
        from trimtab.loop.analysis.judged import judged_rows
        from trimtab.wiring.kinds import source_kinds

        judged = judged_rows(system, place.ledger, place.blobs, data=place.data, entry=entry, kinds=source_kinds())
        found = analyse(system, place.blobs, fact, judged)
        keep(place.blobs, name, found)
    return found


def labelled_rows(place: Place) -> pl.DataFrame:
    """All rows whose truth is known by now, with features. Raises PermanentError where nothing was collected."""
    from datetime import UTC, datetime

    from trimtab.loop.past.stored import StoredDatasets

    rows = StoredDatasets(place.system, place.data, place.ledger).labelled(datetime.now(UTC))
    if not rows.height:
        raise PermanentError("no row's truth is known yet", hint="collect first: `trimtab run`")
    return rows
