#!/bin/bash
# One fit as a Slurm job:
#
#     sbatch scripts/slurm/fit.sh concordance measurements.csv instruments.csv -o result.nc --seed 1
#
# Compile on the login node first (pyxstan compile --all-methods concordance) if compute nodes have no compiler;
# the cache in the home folder serves them all.
#SBATCH --job-name=pyxstan
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%j.log

set -euo pipefail
srun --cpu-bind=none pyxstan fit "$@"
