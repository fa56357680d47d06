"""What a potential can be asked for."""

from __future__ import annotations

from enum import StrEnum


class Property(StrEnum):
    """What people look at in a potential."""

    EQUATION_OF_STATE = "equation_of_state"
    ELASTIC = "elastic"
    PHONONS = "phonons"
    VACANCY = "vacancy"
    SURFACE = "surface"
    RDF = "rdf"
