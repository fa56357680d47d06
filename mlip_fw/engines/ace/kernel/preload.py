"""Importing this loads the kernel, if it was compiled before: children forked from this process need not."""

import importlib.util
import logging

if importlib.util.find_spec("numba") is not None:
    try:
        from mlip_fw.engines.ace.kernel.ready import load

        load()
    except Exception as error:
        # whoever needs it finds out why, and pyace serves
        logging.getLogger("mlip_fw").debug("the kernel was not loaded: %s", error)
