"""On-the-fly active learning of ACE interatomic potentials as dynamic FireWorks workflows."""

__version__ = "0.1.0"
