"""Labels, halts and generations as pandas tables; units are in the names of the columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from mlip_fw.models.training import LabelErrors
from mlip_fw.views.analysis.generations import Generation
from mlip_fw.views.analysis.halts import Halt
from mlip_fw.views.analysis.labels import LabelRow

_UTC = "datetime64[us, UTC]"


class Column(NamedTuple):
    """A column of a table, with its pandas type."""

    name: str
    kind: str
    meaning: str


LABELS = [
    Column("formula", "str", "chemical formula"),
    Column("n_atoms", "int64", "number of atoms"),
    Column("n_trained", "int64", "atoms within the mask: those that are trained on"),
    Column("origin", "str", "`bootstrap`, `imported`, `validation`, or walker and cycle of the halt, as `w00 c0001`"),
    Column("walker", "Int64", "walker of the halt"),
    Column("cycle", "Int64", "cycle of the halt"),
    Column("strategy", "str", "strategy that made the candidate"),
    Column("gamma_max", "float64", "largest γ of the candidate when it was chosen"),
    Column("learnt_by", "Int64", "first generation that was trained on it"),
    Column("code", "str", "program that computed it"),
    Column("corrections", "int64", "repairs that the calculation needed"),
    Column("seconds", "float64", "time that it took, s"),
    Column("time_utc", _UTC, "when it was made"),
]
HALTS = [
    Column("walker", "int64", "walker that halted"),
    Column("cycle", "int64", "cycle in which it halted"),
    Column("stage", "int64", "stage of the MD, from 0"),
    Column("generation", "int64", "generation of the potential that halted"),
    Column("step", "int64", "MD step"),
    Column("time_ps", "float64", "simulated time since the start of the walker, ps"),
    Column("temperature_k", "float64", "temperature at that step, measured by LAMMPS, K"),
    Column("target_temperature_k", "float64", "temperature of the thermostat at that step, K"),
    Column("gamma_max", "float64", "largest γ of any atom"),
    Column("atom", "Int64", "index of that atom, from 0"),
    Column("steps_since_last", "int64", "MD steps since the walker's last halt, or its start"),
    Column("labels_done", "int64", "structures that were labelled for it"),
    Column("labels_waiting", "int64", "structures still to be labelled"),
    Column("labels_quarantined", "int64", "structures that could not be labelled"),
    Column("seconds_to_resume", "float64", "time until the MD went on, s"),
    Column("time_utc", _UTC, "when it halted"),
]
GENERATIONS = [
    Column("trainer", "str", "`linear` or `pacemaker`"),
    Column("labels", "int64", "labels that it was trained on"),
    Column("new_labels", "int64", "those that its parent was not trained on"),
    Column("atoms", "int64", "atoms of all these labels"),
    Column("force_rmse_ev_a", "float64", "training error: root mean square error of the force components, eV/Å"),
    Column("energy_rmse_ev_atom", "float64", "training error: root mean square error of the energies, eV/atom"),
    Column(
        "stress_rmse_ev_a3",
        "float64",
        "training error: root mean square error of the stresses, eV/Å³; `NaN` without any",
    ),
    Column("new_force_rmse_ev_a", "float64", "force RMSE of the generation before on the new labels, eV/Å"),
    Column("new_energy_rmse_ev_atom", "float64", "energy RMSE of the generation before on the new labels, eV/atom"),
    Column("new_stress_rmse_ev_a3", "float64", "stress RMSE of the generation before on the new labels, eV/Å³"),
    Column("gamma_max_dataset", "float64", "largest γ within its training set"),
    Column("md_steps", "int64", "MD steps that all walkers ran with it"),
    Column("halts", "int64", "halts among them"),
    Column("md_steps_per_halt", "float64", "MD steps per halt; `NaN` if it did not halt"),
    Column("train_seconds", "float64", "time of its training, s"),
    Column("md_seconds", "float64", "time of its MD, s"),
    Column("refused", "str", "why it is unfit for MD; empty if it is not"),
    Column("time_utc", _UTC, "when it was published"),
]


def label_table(rows: Iterable[LabelRow]) -> pd.DataFrame:
    """Return one row for each label, by hash."""
    data = [(row.hash, {**vars(row), "time_utc": row.time}) for row in rows]
    return _table(data, LABELS, "hash", "str")


def halt_table(halts: Iterable[Halt], timestep_fs: float) -> pd.DataFrame:
    """Return one row for each halt, in the order of time."""
    data = [(number, _halt(halt, timestep_fs)) for number, halt in enumerate(halts)]
    return _table(data, HALTS, "halt", "int64")


def generation_table(generations: Iterable[Generation]) -> pd.DataFrame:
    """Return one row for each generation, by number."""
    return _table([(one.number, _generation(one)) for one in generations], GENERATIONS, "generation", "int64")


def _table(rows: list[tuple[Any, dict[str, Any]]], columns: list[Column], index: str, kind: str) -> pd.DataFrame:
    """Return a table with the ``columns``, which have their types even without rows."""
    names = pd.Index([name for name, _ in rows], name=index, dtype=kind)
    return pd.DataFrame({column.name: _filled(column, [row for _, row in rows]) for column in columns}).set_index(names)


def _filled(column: Column, rows: list[dict[str, Any]]) -> pd.Series:
    values = [row[column.name] for row in rows]
    if column.kind == _UTC:
        return pd.to_datetime(pd.Series(values, dtype="float64"), unit="s", utc=True).astype(_UTC)
    return pd.Series(values, dtype=column.kind)


def _halt(halt: Halt, timestep_fs: float) -> dict[str, Any]:
    states = [state for _, state in halt.labels]
    return {
        **vars(halt),
        "time_ps": halt.step * timestep_fs / 1000,
        "steps_since_last": halt.steps_since,
        **{f"labels_{state}": states.count(state) for state in ("done", "waiting", "quarantined")},
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


def _errors(which: str, errors: LabelErrors | None) -> dict[str, float | None]:
    return {
        f"{which}force_rmse_ev_a": errors.force_rmse_ev_a if errors else None,
        f"{which}energy_rmse_ev_atom": errors.energy_rmse_ev_atom if errors else None,
        f"{which}stress_rmse_ev_a3": errors.stress_rmse_ev_a3 if errors else None,
    }
