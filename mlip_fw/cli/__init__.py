"""The ``mlip-fw`` command."""
