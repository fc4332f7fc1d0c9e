#!/bin/bash
# Many fits as a Slurm job array, a line of a list a fit:
#
#     sbatch --array=1-$(wc -l < fits.txt) scripts/slurm/fit_array.sh fits.txt
#
# A line of fits.txt holds what follows `pyxstan fit`, and the name of its output:
#
#     concordance field1.csv instruments.csv -o field1.nc --seed 1
#     concordance field2.csv instruments.csv -o field2.nc --seed 2
#
# A fit whose output is already there is left alone, so the same command resumes a broken array.
#SBATCH --job-name=pyxstan
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A_%a.log

set -euo pipefail
list=${1:?usage: sbatch --array=1-N fit_array.sh LIST}
line=$(sed -n "${SLURM_ARRAY_TASK_ID:?}p" "$list")
eval "arguments=($line)" # lets a line quote names with spaces
for ((i = 0; i < ${#arguments[@]} - 1; i++)); do
  if [[ ${arguments[i]} == -o || ${arguments[i]} == --output ]] && [[ -e ${arguments[i + 1]} ]]; then
    echo "${arguments[i + 1]} is there already"
    exit 0
  fi
done
srun --cpu-bind=none pyxstan fit "${arguments[@]}"
