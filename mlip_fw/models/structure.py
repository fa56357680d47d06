"""Start structures of MD: a crystal to build, or files to read."""

from __future__ import annotations

from pydantic import Field, model_validator

from mlip_fw.models.base import Fraction, Frozen, Positive, PositiveCount


class BulkSettings(Frozen):
    """Arguments of :func:`ase.build.bulk`, with repetition and random substitution."""

    symbol: str = Field(description="chemical symbol or formula, such as Cu or NaCl")
    crystal: str | None = Field(None, description="crystal structure: fcc, bcc, hcp, diamond, rocksalt, …")
    a: Positive | None = Field(None, description="lattice constant a, Å")
    c: Positive | None = Field(None, description="lattice constant c, Å")
    cubic: bool = Field(False, description="build the conventional cubic cell")
    orthorhombic: bool = Field(False, description="build an orthorhombic cell")
    repeat: list[PositiveCount] = Field([1, 1, 1], min_length=3, max_length=3, description="repetitions along a, b, c")
    substitute: dict[str, Fraction] = Field(
        default_factory=dict, description="fraction of all sites to give to another element, chosen at random"
    )

    @model_validator(mode="after")
    def _fractions_fit(self) -> BulkSettings:
        if sum(self.substitute.values()) > 1:
            raise ValueError(f"the fractions in substitute add up to {sum(self.substitute.values()):g}, more than 1")
        return self


class StructureSettings(Frozen):
    """Exactly one of a crystal to build, a file to read and several files."""

    bulk: BulkSettings | None = Field(None, description="a crystal to build")
    file: str | None = Field(None, description="a structure file that ASE reads; its last frame is taken")
    files: list[str] | None = Field(
        None, min_length=1, description="several such files, one start for each walker in turn"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> StructureSettings:
        if sum(given is not None for given in (self.bulk, self.file, self.files)) != 1:
            raise ValueError("give exactly one of bulk, file and files")
        return self

    def named_files(self) -> dict[str, str]:
        """Return the files to read under the keys that name them in a campaign file."""
        if self.files is not None:
            return {f"structure.files.{index}": path for index, path in enumerate(self.files)}
        return {} if self.file is None else {"structure.file": self.file}
