"""BibTeX entries of the methods and programs behind a potential."""

from __future__ import annotations

from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.plugins import TRAINERS

_ALWAYS = {
    "Drautz2019": (
        "R. Drautz",
        "Atomic cluster expansion for accurate and transferable interatomic potentials",
        "Phys. Rev. B 99, 014104",
        2019,
        "10.1103/PhysRevB.99.014104",
    ),
    "Lysogorskiy2021": (
        "Y. Lysogorskiy and others",
        "Performant implementation of the atomic cluster expansion (PACE) and application to copper and silicon",
        "npj Comput. Mater. 7, 97",
        2021,
        "10.1038/s41524-021-00559-9",
    ),
    "Lysogorskiy2023": (
        "Y. Lysogorskiy and A. Bochkarev and M. Mrovec and R. Drautz",
        "Active learning strategies for atomic cluster expansion models",
        "Phys. Rev. Materials 7, 043801",
        2023,
        "10.1103/PhysRevMaterials.7.043801",
    ),
    "Thompson2022": (
        "A. P. Thompson and others",
        "LAMMPS - a flexible simulation tool for particle-based materials modeling at the atomic, meso, and continuum "
        "scales",
        "Comput. Phys. Commun. 271, 108171",
        2022,
        "10.1016/j.cpc.2021.108171",
    ),
    "Jain2015": (
        "A. Jain and others",
        "FireWorks: a dynamic workflow system designed for high-throughput applications",
        "Concurrency Computat.: Pract. Exper. 27, 5037-5059",
        2015,
        "10.1002/cpe.3505",
    ),
    "Larsen2017": (
        "A. Hjorth Larsen and others",
        "The atomic simulation environment - a Python library for working with atoms",
        "J. Phys.: Condens. Matter 29, 273002",
        2017,
        "10.1088/1361-648X/aa680e",
    ),
}


def citations(campaign: Campaign, trainer: str) -> str:
    """Return the BibTeX entries of a campaign's methods, its oracle, and the trainer of the exported generation."""
    of_trainer = {} if trainer == "linear" else TRAINERS.get(trainer).citations
    entries = {**_ALWAYS, **backend_of(campaign.oracle).citations, **of_trainer}
    return "\n".join(_entry(key, *fields) for key, fields in entries.items())


def _entry(key: str, author: str, title: str, where: str, year: int, doi: str) -> str:
    journal, _, place = where.rpartition(" ")
    journal, _, volume = journal.removesuffix(",").rpartition(" ")
    return (
        f"@article{{{key},\n  author = {{{author}}},\n  title = {{{{{title}}}}},\n  journal = {{{journal}}},\n"
        f"  volume = {{{volume}}},\n  pages = {{{place}}},\n  year = {{{year}}},\n  doi = {{{doi}}},\n}}\n"
    )
