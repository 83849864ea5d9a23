#!/usr/bin/env bash
# launches.sh PROGRAM: how many kernels a recorded training step of the published U-Net launches, counted at full size by the
# emulated runtime's trace. What is added to the graph unawares is noticed here; where it was meant, this number moves.
set -euo pipefail
program=$1 most=2300
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
VAPO_KERNEL_TRACE=$work/trace.tsv "$program" bench step --network published --batch 128 --device cuda --precision bf16 \
  --only "recorded step" --seconds 0.01 --json >"$work/result.json" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
# a step ends with the optimizer's last kernel
awk -F '\t' '{ optimizer = $8 ~ /^adam_update/; if (ended && !optimizer) { steps++; count[steps] = 0; ended = 0 }
               count[steps]++; if (optimizer) ended = 1; norms[steps] += $8 ~ /^group_norm/; bytes[steps] += $3 }
     END { print count[steps - 1], norms[steps - 1], int(bytes[steps - 1] / 1e9) }' "$work/trace.tsv" >"$work/counted"
read -r kernels norms gigabytes <"$work/counted"
echo "$kernels kernels a step, $norms of them group norm's, handed $gigabytes GB"
fail() { echo "launches.sh: $1" >&2 && exit 1; }
[ "$norms" = 276 ] || fail "$norms kernels of group norm: 69 norms have four each"
((gigabytes >= 60 && gigabytes <= 115)) || fail "$gigabytes GB: not a step at full size, or one that copies more"
[ "$kernels" -le $most ] || fail "$kernels kernels a step, at most $most so far. Hint: VAPO_KERNEL_TRACE=FILE, bench/kernel_table.py FILE"
