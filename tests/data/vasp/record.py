"""Write the recorded runs of this folder anew: ``python -m tests.data.vasp.record``."""

import shutil
import sys
import tempfile
from pathlib import Path

from pymatgen.core import SETTINGS

from mlip_fw.engines.oracle.vasp.oracle import label_with_vasp
from mlip_fw.errors import LabelError
from mlip_fw.models.worker import Worker
from mlip_fw.testing.vasp_files import write_fake_potcars
from tests.helpers.vasp import CASES, POTCARS, alloy, oracle

HERE = Path(__file__).parent

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        write_fake_potcars(Path(name) / "psp", POTCARS)
        SETTINGS["PMG_VASP_PSP_DIR"] = str(Path(name) / "psp")
        for case in CASES:
            shutil.rmtree(HERE / case, ignore_errors=True)
            failing = "" if case == "converged" else f"--fail {case}"
            worker = Worker(vasp_cmd=f"{sys.executable} -m mlip_fw.testing.vasp --record {HERE / case} {failing}")
            try:
                label_with_vasp(alloy(), oracle(), worker, Path(name) / "run")
            except LabelError as error:
                print(f"{case}: {error}")
