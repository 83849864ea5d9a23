#!/usr/bin/env bash
# Finds a Python with PyTorch for the test named first, beside this script, which gets the other arguments; 77 where
# there is none.
python=${VAPO_REFERENCE_PYTHON:-python3}
has_both='import sys; from importlib.util import find_spec; sys.exit(not (find_spec("torch") and find_spec("safetensors")))'
if ! "$python" -c "$has_both"; then
  echo "skipped: $python has no torch and safetensors. Hint: VAPO_REFERENCE_PYTHON names a Python that has them"
  exit 77
fi
exec "$python" "$(dirname "$0")/$1" "${@:2}"
