#!/bin/sh
# test_disk.sh - the program on disks that are full or fail, as its users meet them: exit code 1, one line that names the file, and
# what was there before still good. (Every single call of the library: test_faults.)
set -u
root=$PWD
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
rows=$root/data/golden/models/gpt2/model.safetensors:transformer.wte.weight
train="train --array $rows --width 32 --k 4 --batch 64 --steps 40 --threshold-start-step 2 --checkpoint-every 10 --quiet"

ok() { echo "ok $1"; }
not_ok() { # NAME DETAILS...
    echo "not ok $1"
    shift
    printf '%s\n' "$@"
    cat err
}

# shellcheck disable=SC2086
"$sae" $train --seed 1 --out run >out 2>err || not_ok "a run to begin with"
cp -r run before

# Writes that fail from the nth on, as on a disk that fills up, while a run is replaced: a message, and a dictionary that loads.
injected=0 failed=0
n=22 # until then the rows are opened and hashed
while [ $n -lt 400 ]; do
    rm -rf run && cp -r before run
    # shellcheck disable=SC2086
    SAE_FAIL_IO="$n+:ENOSPC" "$sae" $train --seed 2 --out run --force >out 2>err
    code=$?
    [ $code -eq 0 ] && break
    injected=$((injected + 1))
    if [ $code -ne 1 ] || [ "$(grep -c 'No space left on device' err)" -ne 1 ] || ! grep -q 'run' err; then
        not_ok "a disk that is full from call $n on" "exit code $code" && failed=1
    fi
    "$sae" info run/sae >out 2>>err || { not_ok "the dictionary after a full disk from call $n on" && failed=1; }
    n=$((n + 17))
done
[ $failed -eq 0 ] && [ $injected -gt 5 ] && ok "$injected full disks end with a message and the old dictionary"
# shellcheck disable=SC2086
"$sae" $train --seed 2 --out run --force >out 2>err || not_ok "the run again, with room"
[ -z "$(find . -name '*.tmp.*')" ] && ok "nothing half written is left" || not_ok "nothing half written is left" "$(find . -name '*.tmp.*')"

# The shell's limit on the size of files, in blocks of 512 bytes.
# shellcheck disable=SC2086
(ulimit -f 2 && exec "$sae" $train --out limited) >out 2>err
code=$?
if [ $code -eq 1 ] && grep -q 'limited/.*File too large' err; then ok "a limit on files is a message"; else not_ok "a limit on files is a message" "exit code $code"; fi
# shellcheck disable=SC2086
"$sae" $train --out limited --resume >out 2>err || "$sae" $train --out limited --force >out 2>err
code=$?
if [ $code -eq 0 ] && "$sae" info limited/sae >out 2>err; then ok "and the run goes on without it"; else not_ok "and the run goes on without it"; fi

# A mapped file that another program cuts short while it is read.
cp "${rows%:*}" cut.safetensors
# shellcheck disable=SC2086
"$sae" train --array "cut.safetensors:${rows##*:}" --width 512 --k 4 --batch 64 --steps 1000000 --quiet --out cut >out 2>err &
pid=$!
sleep 0.5
truncate -s 4096 cut.safetensors
wait $pid
code=$?
if [ $code -eq 1 ] && grep -q 'cut short' err; then ok "a file that is cut short is a message"; else not_ok "a file that is cut short is a message" "exit code $code"; fi
