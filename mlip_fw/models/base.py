"""Base class of all models, and number types that refuse strings such as ``"2 fs"``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
NotNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
PositiveCount = Annotated[int, Field(strict=True, ge=1)]
RadialName = Literal["SBessel", "ChebExpCos", "ChebPow"]
"""Radial functions of a potential, by their names in pacemaker."""


class Frozen(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", defer_build=True, frozen=True)

    def plain(self) -> dict[str, Any]:
        """Return the model as plain JSON values, safe to store in a Firework's spec."""
        return self.model_dump(mode="json")
