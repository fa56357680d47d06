"""How many cores a piece of work has."""

import pytest

from mlip_fw.runtime.cores import cores_of

SLURM = {"SLURM_NTASKS": "16", "SLURM_CPUS_PER_TASK": "2"}


@pytest.mark.parametrize(
    ("command", "environment", "cores"),
    [
        (None, {}, 1),
        (None, {"OMP_NUM_THREADS": "4"}, 4),
        (None, SLURM, 32),
        ("pw.x", {"OMP_NUM_THREADS": "3"}, 3),
        ("pw.x", SLURM, 2),
        ("mpirun -np 8 pw.x -nk 2", {}, 8),
        ("mpirun -np 8 pw.x -nk 2", {"OMP_NUM_THREADS": "2"}, 16),
        ("/opt/mpi/bin/mpiexec -n 8 lmp", SLURM, 16),
        ("srun vasp_std", SLURM, 32),
        ("srun --ntasks=4 vasp_std", SLURM, 8),
        ("srun --exact -n 4 vasp_std", {}, 4),
        ("env OMP_NUM_THREADS=4 mpirun -np 2 lmp -sf omp", SLURM, 8),
        ("mpirun pw.x", {}, 1),
        ("mpirun -np $N pw.x", {}, 1),
        ("mpirun -np 2 'pw.x", {}, 1),
        ("python -n 5 -m mlip_fw.testing.pw", {}, 1),
        ("", {"SLURM_NTASKS": "many"}, 1),
    ],
)
def test_cores(command, environment, cores):
    assert cores_of(command, environment) == cores
