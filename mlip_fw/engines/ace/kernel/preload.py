"""Importing this module loads the kernel if it is compiled, so that children forked from this process have it."""

import importlib.util
import logging

if importlib.util.find_spec("numba") is not None:
    try:
        from mlip_fw.engines.ace.kernel.ready import load

        load()
    except Exception as error:
        # who needs it will log the reason and use pyace
        logging.getLogger("mlip_fw").debug("the kernel was not loaded: %s", error)
