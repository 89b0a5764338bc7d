#!/bin/sh
# fetch_probes.sh - the labelled sets of SAE-Probes (Kantamneni et al. 2025), 45 MB, into data/sae-probes/: they are packed in the wheel
# sae-probes on PyPI. Nothing of the wheel is run; it is taken only when its SHA-256 is the expected one.
set -eu
sha256=245700c8df310760e3d5b23d657ae5196489813f3012b55975057d8239d8be03
out=data/sae-probes
scratch=.scratch/fetch-probes

[ ! -d "$out" ] || exit 0
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "pip is needed to fetch the sets: apt-get install -y --no-install-recommends python3-pip" >&2
    exit 3
fi
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
rm -rf "$scratch"
mkdir -p "$scratch"
echo "Fetching the sets of SAE-Probes (45 MB)" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: \
    --dest "$scratch" sae-probes==0.4.2 >&2
if ! echo "$sha256  $(ls "$scratch"/sae_probes-*.whl)" | sha256sum --check --status; then
    echo "what was fetched is not the expected file: its SHA-256 is not $sha256" >&2
    exit 1
fi
python3 -m zipfile -e "$scratch"/sae_probes-*.whl "$scratch"
mv "$scratch/sae_probes/data/cleaned_data" "$out"
echo "$out" >&2
