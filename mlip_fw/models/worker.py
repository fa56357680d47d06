"""Commands and limits of one machine: the section ``env`` of a FireWorks worker file."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from mlip_fw.models.base import Frozen
from mlip_fw.plugins import REGISTRIES

_MIN_MD_S = 2.0
_MIN_LABEL_S = 30.0
_MIN_TRAIN_S = 60.0
WalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_MIN_MD_S)]
LabelWalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_MIN_LABEL_S)]

TrainWalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_MIN_TRAIN_S)]


class WorkerKeys(Frozen):
    """Base of the keys that an oracle or a trainer adds to ``env``, each with a description, none required."""


Keys = TypeVar("Keys", bound=WorkerKeys)


class Worker(Frozen):
    """Commands and limits of one machine, from ``my_fworker.yaml`` ``env:``.

    Besides the keys below it takes those that installed oracles and trainers declare; :meth:`own_keys` returns them.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")  # what none declares is refused below

    lmp_cmd: str | None = Field(None, description="command that runs LAMMPS, such as 'mpirun -np 8 lmp'")
    md_walltime_s: WalltimeS | None = Field(None, description="MD stops itself after this time and is continued, s")
    pw_cmd: str | None = Field(None, description="command that runs Quantum ESPRESSO, such as 'mpirun -np 8 pw.x'")
    vasp_cmd: str | None = Field(None, description="command that runs VASP, such as 'mpirun -np 8 vasp_std'")
    pseudo_dir: str | None = Field(None, description="directory of the pseudopotentials (.UPF)")
    scratch: str | None = Field(
        None, pattern=r"^[/~$]", description="directory for wave functions and densities; default: the campaign's"
    )
    campaigns_dir: str | None = Field(
        None,
        pattern=r"^[/~$]",
        description="directory for this machine's copies of campaigns whose files travel through the FilePad",
    )
    trusted_calculators: list[str] = Field(
        default_factory=list,
        description="names of ASE calculators that campaigns may use although they can run programs or read code, "
        "as oracle.calculator has them",
    )
    label_walltime_s: LabelWalltimeS | None = Field(
        None, description="a reference calculation stops itself after this time and is continued, s"
    )

    pacemaker_cmd: str | None = Field(
        None, description="command that runs pacemaker; default: the one installed beside mlip_fw"
    )
    train_walltime_s: TrainWalltimeS | None = Field(
        None, description="pacemaker is stopped after this time and continued, s"
    )

    @model_validator(mode="after")
    def _further_keys_are_declared(self) -> Worker:
        given = self.model_extra or {}
        if not given:
            return self
        models = declared_keys()
        known = {key for model in models.values() for key in model.model_fields}
        if unknown := [key for key in given if key not in known]:
            faults = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=given[key]) for key in unknown]
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        for model in models.values():
            model.model_validate(_part_of(given, model))
        return self

    def own_keys(self, model: type[Keys]) -> Keys:
        """Return the keys that an oracle or a trainer declares as its ``worker_keys``."""
        return model.model_validate(_part_of(self.model_extra or {}, model))

    def ending_within(self, seconds: float | None) -> Worker:
        """Return the worker with its walltimes limited to ``seconds``, the time left of a batch job."""
        if seconds is None:
            return self
        md = min(self.md_walltime_s or seconds, max(seconds, _MIN_MD_S))
        label = min(self.label_walltime_s or seconds, max(seconds, _MIN_LABEL_S))
        train = min(self.train_walltime_s or seconds, max(seconds, _MIN_TRAIN_S))
        limits = {
            "md_walltime_s": max(md, _MIN_MD_S),
            "label_walltime_s": max(label, _MIN_LABEL_S),
            "train_walltime_s": max(train, _MIN_TRAIN_S),
        }
        return self.model_copy(update=limits)


def declared_keys() -> dict[str, type[WorkerKeys]]:
    """Return the models of the keys that installed kinds add to ``env``, by the name of the kind."""
    return _declared()[0]


def hint_for_keys(wrong: list[str]) -> str:
    """Return what to write instead of unknown keys of ``env``, and which plug-ins could not be asked."""
    models, broken = _declared()
    known = [*Worker.model_fields, *(key for model in models.values() for key in model.model_fields)]
    close = [name for key in wrong for name in difflib.get_close_matches(key, known, n=1)]
    meant = f"did you mean {', '.join(close)}? " if close else ""
    return "; ".join([f"{meant}known keys are {', '.join(known)}", *broken])


def _declared() -> tuple[dict[str, type[WorkerKeys]], list[str]]:
    """Return the declared models by the name of their kind, and what is wrong with plug-ins whose keys are ignored."""
    models: dict[str, type[WorkerKeys]] = {}
    broken: list[str] = []
    for registry in REGISTRIES:
        broken += registry.faults().values()
        for name, entry in registry.usable().items():
            model = getattr(entry, "worker_keys", None)
            if model is None:
                continue
            if (fault := _fault_of_keys(model)) is None:
                models[name] = model
            else:
                origin = registry.origin(name)
                broken.append(f"the {registry.what} {name!r} of {origin} is broken: its worker_keys {fault}")
    return models, broken


def _fault_of_keys(model: Any) -> str | None:
    if not (isinstance(model, type) and issubclass(model, WorkerKeys)):
        return f"must be a subclass of {WorkerKeys.__name__}"
    taken = sorted(model.model_fields.keys() & Worker.model_fields.keys())
    return f"name {', '.join(taken)}, which every worker file has" if taken else None


def _part_of(given: dict[str, Any], model: type[WorkerKeys]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key in model.model_fields}
