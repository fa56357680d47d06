"""Labels, halts and generations as tables of pandas; units are in the names of the columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from mlip_fw.models.training import Errors
from mlip_fw.story.generations import Generation
from mlip_fw.story.halts import Halt
from mlip_fw.story.labels import LabelRow

LABELS = {
    "formula": "str",
    "n_atoms": "int64",
    "n_trained": "int64",
    "origin": "str",
    "walker": "Int64",
    "cycle": "Int64",
    "strategy": "str",
    "gamma_max": "float64",
    "learnt_by": "Int64",
    "code": "str",
    "corrections": "int64",
    "seconds": "float64",
    "time_utc": "datetime64[ns, UTC]",
}
HALTS = {
    "walker": "int64",
    "cycle": "int64",
    "stage": "int64",
    "generation": "int64",
    "step": "int64",
    "time_ps": "float64",
    "temperature_k": "float64",
    "gamma_max": "float64",
    "atom": "Int64",
    "steps_since_last": "int64",
    "labels_done": "int64",
    "labels_waiting": "int64",
    "labels_quarantined": "int64",
    "seconds_to_resume": "float64",
    "time_utc": "datetime64[ns, UTC]",
}
GENERATIONS = {
    "trainer": "str",
    "labels": "int64",
    "new_labels": "int64",
    "atoms": "int64",
    "force_rmse_ev_a": "float64",
    "energy_rmse_ev_atom": "float64",
    "new_force_rmse_ev_a": "float64",
    "new_energy_rmse_ev_atom": "float64",
    "gamma_max_dataset": "float64",
    "md_steps": "int64",
    "halts": "int64",
    "md_steps_per_halt": "float64",
    "train_seconds": "float64",
    "md_seconds": "float64",
    "refused": "str",
    "time_utc": "datetime64[ns, UTC]",
}


def label_table(rows: Iterable[LabelRow]) -> pd.DataFrame:
    """Return one row for each label, by hash."""
    data = [(row.hash, {**vars(row), "time_utc": row.time}) for row in rows]
    return _table(data, LABELS, "hash")


def halt_table(halts: Iterable[Halt], timestep_fs: float) -> pd.DataFrame:
    """Return one row for each halt, in the order of time."""
    data = [(number, _halt(halt, timestep_fs)) for number, halt in enumerate(halts)]
    return _table(data, HALTS, "halt")


def generation_table(generations: Iterable[Generation]) -> pd.DataFrame:
    """Return one row for each generation, by number."""
    return _table([(one.number, _generation(one)) for one in generations], GENERATIONS, "generation")


def _table(rows: list[tuple[Any, dict[str, Any]]], columns: dict[str, str], index: str) -> pd.DataFrame:
    """Return the columns that are named, of the kinds that are stated even if there is no row."""
    names = pd.Index([name for name, _ in rows], name=index, dtype=None if rows else "object")
    return pd.DataFrame(
        {name: _column(name, [row[name] for _, row in rows], kind) for name, kind in columns.items()}
    ).set_index(names)


def _column(name: str, values: list[Any], kind: str) -> pd.Series:
    if name == "time_utc":
        return pd.to_datetime(pd.Series(values, dtype="float64"), unit="s", utc=True)
    return pd.Series(values, dtype=kind)


def _halt(halt: Halt, timestep_fs: float) -> dict[str, Any]:
    fates = [fate for _, fate in halt.labels]
    return {
        **vars(halt),
        "time_ps": halt.step * timestep_fs / 1000,
        "steps_since_last": halt.steps_since,
        **{f"labels_{fate}": fates.count(fate) for fate in ("done", "waiting", "quarantined")},
        "time_utc": halt.time,
    }


def _generation(one: Generation) -> dict[str, Any]:
    record = one.record
    return {
        "trainer": record.trainer,
        "labels": len(record.labels),
        "new_labels": len(record.new_labels),
        "atoms": record.n_atoms,
        **_errors("", record.dataset),
        **_errors("new_", record.new_before),
        "gamma_max_dataset": record.gamma_max_dataset,
        "md_steps": one.md_steps,
        "halts": one.halts,
        "md_steps_per_halt": one.steps_to_halt,
        "train_seconds": record.seconds,
        "md_seconds": one.seconds_md,
        "refused": "; ".join(one.refused),
        "time_utc": one.time,
    }


def _errors(which: str, errors: Errors | None) -> dict[str, float | None]:
    return {
        f"{which}force_rmse_ev_a": errors.force_rmse_ev_a if errors else None,
        f"{which}energy_rmse_ev_atom": errors.energy_rmse_ev_atom if errors else None,
    }
