#!/bin/sh
# test_lab_cli.sh - the experiments on trained dictionaries as their users meet them, on a tiny model: what they need, what they
# refuse, what they write.
set -u
root=$PWD
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

expect() { # NAME CODE TEXT ARGUMENTS...
    name=$1 wanted=$2 text=$3
    shift 3
    "$sae" "$@" >out 2>err </dev/null
    code=$?
    if [ "$code" -eq "$wanted" ] && { [ -z "$text" ] || grep -qF -e "$text" err; } && { [ "$wanted" -eq 0 ] || [ ! -s out ]; }; then
        echo "ok $name"
    else
        echo "not ok $name"
        echo "exit code $code, expected $wanted and on standard error: $text"
        head -c 1000 err
    fi
}
holds() { # NAME TEXT FILE
    if grep -qF -e "$2" "$3"; then echo "ok $1"; else echo "not ok $1"; head -c 500 "$3"; fi
}
make_npy() { # FILE SHAPE TYPE: data from standard input
    header="{'descr': '$3', 'fortran_order': False, 'shape': $2, }"
    header=$(printf '%-117s' "$header")
    printf '\223NUMPY\001\000v\000%s\n' "$header" >"$1"
    cat >>"$1"
}

model=$root/data/golden/models/llama_gqa_tied # d 32, 128 tokens, no tokenizer
# 64 x 8 x 16 ids in [0, 128), each a little-endian int32
awk 'BEGIN { srand(5); for (i = 0; i < 1024; i++) printf "\\%03o\\000\\000\\000", int(rand() * 128) }' >octal
printf "$(cat octal)" | make_npy ids.npy '(64, 16)' '<i4'
printf "$(cut -c1-256 octal)" | make_npy one.npy '(1, 16)' '<i4'
site=blocks.1.hook_resid_post
"$sae" tap "$model" --ids ids.npy --site $site --out rows.safetensors --quiet || echo "not ok the rows of the test"
tail -c 131072 rows.safetensors | make_npy rows.npy '(1024, 32)' '<f4'
"$sae" sweep --array rows.npy --width 64 --k 4 --rank 0,2 --batch 64 --rows 3840 --out grid --quiet >log 2>&1 ||
    { echo "not ok the dictionaries of the test"; cat log; }
plain=grid/w64-k4-r0-s0/sae scaffold=grid/w64-k4-r2-s0/sae
[ -d "$scaffold" ] || { echo "not ok the dictionaries are where they are looked for"; ls -R grid; }
head -c 256 /dev/zero | tr '\000' '\077' | make_npy basis.npy '(32, 2)' '<f4'
head -c 256 /dev/zero | tr '\000' '\377' | make_npy broken.npy '(32, 2)' '<f4'
head -c 384 /dev/zero | tr '\000' '\077' | make_npy narrow.npy '(24, 4)' '<f4'

# ---- lab redundancy ----
set -- lab redundancy --dict $plain --model "$model" --site $site --ids ids.npy
expect "redundancy, ids and a scaffold" 0 'only position 0 is masked' "$@" --scaffold-of $scaffold --ce-tokens 300 --out r.json --quiet
holds "redundancy prints the curve" '3, 787 of 16,384' out
holds "redundancy writes a result" '"aligned.3"' r.json
expect "redundancy, JSON by a basis" 0 '' "$@" --basis basis.npy --ce-tokens 100 --points 3 --draws 1 --select union --json --quiet
holds "redundancy --json is one" '"tables"' out
# W_up [2, 32] of the scaffold, transposed: [32, 2]
weights=$scaffold/sae_weights.safetensors
header=$(od -An -v -t u8 -N 8 "$weights" | tr -d ' ')
begin=$(head -c $((header + 8)) "$weights" | tail -c "$header" | tr -d ' ' | sed 's/.*"W_up":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
tail -c +$((header + 9 + begin)) "$weights" | head -c 256 | od -An -v -t o1 -w4 | awk '{ gsub(" ", "\\"); row[NR] = $0 }
    END { for (i = 1; i <= 32; i++) printf "%s%s", row[i], row[32 + i] }' >octal
printf "$(cat octal)" | make_npy W_up.npy '(32, 2)' '<f4'
for rule in union best; do
    expect "redundancy, $rule of W_up" 0 '' "$@" --select $rule --scaffold-of $scaffold --ce-tokens 300 --out $rule.json --quiet
    expect "redundancy, $rule of the same by a basis" 0 '' "$@" --select $rule --basis W_up.npy --ce-tokens 300 --out ${rule}_basis.json --quiet
    for n in 1 3 11; do
        grep -A 3 "\"aligned.$n\"" $rule.json >one
        grep -A 3 "\"aligned.$n\"" ${rule}_basis.json >two
        if [ -s one ] && cmp -s one two; then echo "ok $rule: the same $n latents"; else echo "not ok $rule: the same $n latents"; cat one two; fi
    done
done
expect "redundancy overwrites nothing" 1 'r.json' "$@" --scaffold-of $scaffold --out r.json
expect "redundancy, no --dict" 2 '--dict' lab redundancy --basis basis.npy --model "$model" --ids ids.npy
expect "redundancy, nothing to be aligned with" 2 '--scaffold-of' "$@"
expect "redundancy, both" 2 '--basis' "$@" --basis basis.npy --scaffold-of $scaffold
expect "redundancy, a scaffold of rank 0" 1 'has no scaffold' "$@" --scaffold-of $plain
expect "redundancy, a basis of another width" 1 'must be [32, r]' "$@" --basis narrow.npy
expect "redundancy, a basis that is not finite" 1 'not finite' "$@" --basis broken.npy
expect "redundancy, no such rule" 2 'energy' "$@" --basis basis.npy --select most
expect "redundancy, one sequence" 1 'one.npy' lab redundancy --dict $plain --model "$model" --site $site --ids one.npy --basis basis.npy
expect "redundancy, all latents are dense" 0 '' "$@" --basis basis.npy --ce-tokens 100 --points 2 --draws 1 --dense-threshold 0.000001 --json --quiet
holds "redundancy has the set of them" 'all with p > 1e-06' out
expect "redundancy, a threshold of 1" 2 '--dense-threshold' "$@" --basis basis.npy --dense-threshold 1
expect "redundancy with position 0" 0 '' "$@" --basis basis.npy --ce-tokens 100 --points 2 --draws 1 --with-bos --json --quiet
holds "redundancy counts all 64 x 16 rows" '1024 tokens counted, 0 masked' out
expect "redundancy, an option of texts with ids" 2 '--tokens' "$@" --basis basis.npy --tokens 100
expect "redundancy, neither text nor ids" 2 '--text or --ids' lab redundancy --dict $plain --model "$model" --site $site --basis basis.npy

# ---- lab dense ----
set -- lab dense --dict $plain --model "$model" --site $site --ids ids.npy
expect "dense needs a tokenizer" 1 'tokenizer' "$@"
expect "dense, a threshold of 1" 2 '--threshold' "$@" --threshold 1
expect "dense, neither text nor ids" 2 '--text or --ids' lab dense --dict $plain --model "$model" --site $site

# ---- lab knee ----
expect "knee of a sweep" 0 '' lab knee grid/results.json --out k.json
holds "knee shows the steps" 'gain per direction' out
holds "knee writes a result" '"rank0"' k.json
expect "knee of the same sweep is kept" 0 'k.json is of this call and these inputs' lab knee grid/results.json --out k.json
expect "a result that lies in a folder that is read" 0 '' lab structure --dict $scaffold --array rows.npy --out $scaffold/structure.json --quiet
expect "is kept as well" 0 'it is kept' lab structure --dict $scaffold --array rows.npy --out $scaffold/structure.json
cp grid/results.json grid_results.json
expect "knee overwrites nothing" 1 'k.json' lab knee grid_results.json --out k.json
expect "knee of another file" 1 'results.json of a sweep' lab knee k.json
expect "knee without a file" 2 '' lab knee
entry='{"arch": "batchtopk", "d_in": 100, "d_sae": 9, "k": 1, "seed": 0, "rank"'
printf '{"dictionaries": [%s: 4, "measured": {"fvu": 0.39, "dense": 0}}, %s: 0, "measured": {"fvu": 0.5, "dense": 9}}, %s: 8, "measured": {"fvu": 0.388, "dense": 0}}]}' \
    "$entry" "$entry" "$entry" >made.json
expect "knee of made-up numbers" 0 '' lab knee made.json --json
holds "knee finds rank 4" '"rank0": 4' out
printf '{"dictionaries": [%s: 0, "measured": {"fvu": 0.5, "dense": 9}}, %s: 0, "measured": {"fvu": 0.4, "dense": 9}}]}' "$entry" "$entry" >twice.json
expect "knee, a rank twice" 1 'two dictionaries of rank 0' lab knee twice.json
printf '{"dictionaries": [%s: 2, "measured": {"fvu": 0.5, "dense": 9}}, %s: 4, "measured": {"fvu": 0.4, "dense": 9}}]}' "$entry" "$entry" >zero.json
expect "knee, no rank 0" 1 'begin at 0' lab knee zero.json
printf '{"dictionaries": [%s: 0}]}' "$entry" >bare.json
expect "knee, nothing measured" 1 'without what was measured' lab knee bare.json
