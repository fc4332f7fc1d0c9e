#!/bin/bash
# Many fits as a Slurm job array, a line of a list a fit:
#
#     sbatch --array=1-$(wc -l < fits.txt) scripts/slurm/fit_array.sh fits.txt
#
# A line of fits.txt holds what follows `pyxstan fit`, and the name of its output:
#
#     concordance field1.csv instruments.csv -o field1.nc --seed 1
#     concordance 'field 2.csv' instruments.csv --output=field2.nc --seed 2
#
# Names with spaces stand in quotes; nothing else of a shell ($HOME, *, `...`) is known there.
# A fit whose output is already there is left alone, so the same command resumes a broken array.
#SBATCH --job-name=pyxstan
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=%x-%A_%a.log

set -euo pipefail
list=${1:?usage: sbatch --array=1-N fit_array.sh LIST}
line=$(sed -n "${SLURM_ARRAY_TASK_ID:?}p" "$list")
if [[ -z ${line//[[:space:]]/} ]]; then
  echo "$list has nothing in line $SLURM_ARRAY_TASK_ID" >&2
  exit 2
fi
# xargs splits as a shell does, quotes and all, but runs nothing that the line may hold
mapfile -d '' -t arguments < <(xargs printf '%s\0' <<< "$line")
wait $! || {
  echo "$list: line $SLURM_ARRAY_TASK_ID can't be split into words" >&2
  exit 2
}
output=
for ((i = 0; i < ${#arguments[@]}; i++)); do
  case ${arguments[i]} in
    -o | --output) output=${arguments[i + 1]-} ;;
    --output=*) output=${arguments[i]#--output=} ;;
    -o?*) output=${arguments[i]#-o} ;;
  esac
done
if [[ -n $output && -e $output ]]; then
  echo "$output is there already"
  exit 0
fi
srun --cpu-bind=none pyxstan fit "${arguments[@]}"
