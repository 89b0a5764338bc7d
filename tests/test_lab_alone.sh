#!/bin/sh
# test_lab_alone.sh - `sae lab structure`, `stability`, `matching` and `retrain`: on the dictionaries, rows and text of a run they find the
# numbers of the run's own parts, digit for digit; and what they refuse.
set -u
root=$PWD
. ./tests/letters.sh
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

ok() { echo "ok $1"; }
not_ok() { # NAME DETAILS...
    echo "not ok $1"
    shift
    printf '%s\n' "$@"
    head -c 1000 err
}
# Runs sae and demands an exit code and a text on standard error ('' none at all).
expect() { # NAME CODE TEXT ARGUMENTS...
    name=$1 wanted=$2 text=$3
    shift 3
    "$sae" "$@" >out 2>err </dev/null
    code=$?
    if [ "$code" -ne "$wanted" ]; then
        not_ok "$name" "exit code $code, expected $wanted"
    elif [ -z "$text" ] && [ -s err ]; then
        not_ok "$name" "standard error should be empty"
    elif [ -n "$text" ] && ! grep -qF -e "$text" err; then
        not_ok "$name" "standard error should contain: $text"
    else
        ok "$name"
    fi
}
# A member of a result: its lines down to the bracket that closes it.
member() { # FILE KEY
    awk -v begin="  \"$2\": " 'index($0, begin) == 1 { inside = 1 } inside { print } inside && /^  [}\]]/ { exit }' "$1"
}
alike() { # NAME FILE FILE KEY...
    name=$1 first=$2 second=$3
    shift 3
    for key in "$@"; do
        member "$first" "$key" >one
        member "$second" "$key" >two
        if [ "$(wc -l <one)" -gt 3 ] && cmp -s one two; then
            ok "$name: the same $key"
        else
            not_ok "$name: the same $key" "$(diff one two | head -n 20)"
        fi
    done
}
# Numbers of one file and of another, by their names: value and interval.
same_numbers() { # NAME FILE KEY FILE KEY
    grep -F -A 4 "\"$3\": {" "$2" | sed 1d >one
    grep -F -A 4 "\"$5\": {" "$4" | sed 1d >two
    if [ "$(sed -n '/"value": -*[0-9]/p' one | wc -l)" -gt 0 ] && [ "$(head -n 3 one)" = "$(head -n 3 two)" ]; then
        ok "$1: $3"
    else
        not_ok "$1: $3" "$(cat one two)"
    fi
}

make_npy() { # FILE SHAPE TYPE: data from standard input
    header="{'descr': '$3', 'fortran_order': False, 'shape': $2, }"
    header=$(printf '%-117s' "$header")
    printf '\223NUMPY\001\000v\000%s\n' "$header" >"$1"
    cat >>"$1"
}

# ---- A run ----
letters_model tiny
letters_text 1 >letters.jsonl
# Ten subjects of MMLU's: a run takes the first five
awk 'BEGIN { for (i = 0; i < 30; i++) print (i ? "abc,x" i % 3 : "text,label") }' >letters.csv
awk 'BEGIN { srand(4); print "text,label"; n = split("astronomy computer_security elementary_mathematics high_school_chemistry high_school_geography " \
    "high_school_us_history international_law marketing nutrition world_religions", s, " ")
    for (i = 0; i < 300; i++) { line = ""; c = i % n; for (j = 0; j < 24; j++)
        line = line (rand() < 0.4 ? substr("abcd", c % 4 + 1, 1) : substr("abcd ", int(rand() * 5) + 1, 1)); print line "," s[c + 1] } }' >subjects.csv
the_run="scaffold --model tiny --text letters.jsonl --site resid_post.0 --budget standard --arch batchtopk --variants p1 --seeds 3 --rank 2 --width 64
    --k 4 --ks 3,6 --ranks none --points 0 --batch 64 --ctx 32 --tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 1
    --topics none --labelled subjects.csv --seed 5 --out run --quiet"
# shellcheck disable=SC2086
"$sae" $the_run >out 2>err || not_ok "the run of the test" "$(cat out)"
at=run/dictionaries results=run/results
base=$at/batchtopk-baseline-s5 p1=$at/batchtopk-p1-s5
given="--model tiny --text letters.jsonl --ctx 32 --tokens 400 --quiet"

# 64 rows of width 24, of numbers between 0.5 and 2, and two dictionaries that read them
awk 'BEGIN { srand(3); for (i = 0; i < 1536; i++) printf "\\%03o\\%03o\\%03o\\077", rand() * 256, rand() * 256, rand() * 256 }' >octal
printf "$(cat octal)" | make_npy narrow.npy '(64, 24)' '<f4'
"$sae" train --array narrow.npy --width 32 --k 4 --rank 2 --batch 16 --rows 1024 --out narrow --quiet >out 2>err || not_ok "a dictionary of another width"
"$sae" train --array narrow.npy --target-array narrow.npy --width 32 --k 4 --rank 2 --batch 16 --rows 1024 --out transcoder --quiet >out 2>err ||
    not_ok "a transcoder"

# Both as if they had been trained at another site
for dict in base p1; do
    eval "from=\$$dict"
    # shellcheck disable=SC2154
    cp -r "$from" other_$dict && cp "$from.json" other_$dict.json
    sed 's/blocks.0.hook_resid_post/blocks.1.hook_resid_post/' "$from/cfg.json" >other_$dict/cfg.json
done
cp -r $p1 centred
sed 's/"sae_scaffold": /"sae_scaffold_centre": "none", &/' $p1/cfg.json >centred/cfg.json

# ---- structure ----
expect "structure" 0 '' lab structure --dict $p1 --store run/acts --seed 5 --out structure.json --quiet
alike "structure" structure.json $results/batchtopk-p1-s5/structure.json numbers tables plots
expect "structure is not measured again" 0 'structure.json is of this call' lab structure --dict $p1 --store run/acts --seed 5 --out structure.json
expect "structure overwrites nothing" 1 'structure.json' lab structure --dict $p1 --store run/acts --out structure.json
# $given is a list of options
# shellcheck disable=SC2086
{
    expect "structure from a text" 0 '' lab structure --dict $p1 $given --split all --tokens 3000 --json
    if grep -q '"overlap_pca_r"' out; then ok "structure --json is one"; else not_ok "structure --json is one"; fi
    if grep -q '"eigenvalue_least"' out && grep -q '"eigenvalues"' out; then ok "with eigenvalues"; else not_ok "with eigenvalues"; fi
    expect "structure, too few rows to say much" 0 '' lab structure --dict $p1 $given --tokens 8 --ctx 8 --split all
    if grep -q 'too few' out; then ok "and says so"; else not_ok "and says so" "$(cat out)"; fi
    expect "structure, text and a store" 2 'is for rows from a model' lab structure --dict $p1 $given --store run/acts
}
expect "structure without rows" 2 '--store' lab structure --dict $p1
expect "structure, a store and an array" 2 'from one of them' lab structure --dict $p1 --store run/acts --array x.npy
expect "structure, no dictionary" 2 '--dict' lab structure --store run/acts
expect "structure of a baseline" 1 'has no scaffold' lab structure --dict $base --store run/acts
expect "structure, a store that is none" 1 'nowhere' lab structure --dict $p1 --store nowhere
expect "structure, rows of another width" 1 'rows of width' lab structure --dict $p1 --array narrow.npy
expect "structure, rows of another site" 1 'holds rows of blocks.0.hook_resid_post' lab structure --dict other_p1 --store run/acts
expect "structure of a transcoder" 1 'is a transcoder' lab structure --dict transcoder/sae --array narrow.npy
expect "structure by an array" 0 '' lab structure --dict narrow/sae --array narrow.npy --quiet

# ---- probing and TPP ----
sets="--model tiny --data subjects.csv --n-train 800 --n-test 200 --seed 5 --quiet"
# shellcheck disable=SC2086
{
    expect "probing of the run's five subjects" 0 '' lab probing $base $p1 $sets --five-subjects --out probing.json
    expect "TPP of the run's five subjects" 0 '' lab tpp $base $p1 $sets --five-subjects --out tpp.json
    expect "five subjects of other documents" 1 "none of 1 sets has MMLU's subjects" lab tpp $base --model tiny --data letters.csv --five-subjects
}
same_numbers "probing as in the run" probing.json batchtopk-p1-s5.probing.k1 $results/documents/batchtopk-probing.json batchtopk-p1-s5.probing.k1
same_numbers "probing as in the run" probing.json batchtopk-p1-s5.probing.gain.k5 $results/documents/batchtopk-probing.json batchtopk-p1-s5.probing.gain.k5
same_numbers "TPP as in the run" tpp.json batchtopk-baseline-s5.tpp.n2 $results/documents/batchtopk-tpp.json batchtopk-baseline-s5.tpp.n2

# ---- stability ----
expect "stability" 0 '' lab stability $p1 $at/batchtopk-p1-s6 $at/batchtopk-p1-s7 --store run/acts --out stability.json --quiet
same_numbers "stability" stability.json pairs $results/stability/stability.json seeds.batchtopk
for file in stability.json $results/stability/stability.json; do # the table of components, up to what follows it
    awk '/^    "pca": {/ { inside = 1 } inside && /^    }/ { exit } inside { print }' $file >"$(basename "$(dirname $file)").pca"
done
if [ "$(wc -l <stability.pca)" -gt 20 ] && cmp -s stability.pca ..pca; then ok "stability: the same pca"; else not_ok "stability: the same pca" "$(diff stability.pca ..pca)"; fi
expect "stability without rows" 0 '' lab stability $p1 $at/batchtopk-p1-s6 --json --quiet
if grep -q '"pca"' out; then not_ok "it has no components"; else ok "it has no components"; fi
expect "stability of one with itself" 1 'are the same dictionary' lab stability $p1 $p1
cp -r $p1 copy
expect "stability of one with its copy" 1 "$p1 and copy are the same" lab stability $at/batchtopk-p1-s6 $p1 copy
"$sae" sweep --array narrow.npy --width 32 --k 3,4 --rank 2 --scaffold-start pca --scaffold-freeze --batch 16 --rows 1024 --out frozen --quiet >out 2>err ||
    not_ok "two dictionaries of one scaffold" "$(cat out)"
expect "stability of one scaffold in two dictionaries" 0 '' lab stability frozen/w32-k3-r2-s0/sae frozen/w32-k4-r2-s0/sae --out self.json --quiet
if grep -A 1 '"pairs": {' self.json | grep -qE '"value": (1\.0|0\.9999999999)'; then ok "is 1"; else not_ok "is 1" "$(grep -A 3 '"pairs"' self.json)"; fi
expect "stability of one" 2 'something is missing' lab stability $p1
expect "stability with a baseline" 1 'has no scaffold' lab stability $p1 $base
expect "stability, rows of another site" 1 'other_p1 was trained on rows of blocks.1' lab stability $p1 other_p1 --store run/acts
expect "stability, another width" 1 'rows of width' lab stability $p1 narrow/sae

# ---- matching ----
# shellcheck disable=SC2086
{
    curve="$p1 $at/batchtopk-p1-k3-s5 $at/batchtopk-p1-k6-s5"
    plain="$at/batchtopk-baseline-k3-s5 $at/batchtopk-baseline-k6-s5"
    expect "matching" 0 '' lab matching $base $curve $plain $given --ce-tokens 200 --seed 5 --out matching.json
    n=0
    for key in $(member matching.json numbers | sed -n 's/^    "\(.*\)": {$/\1/p'); do
        case $key in
        batchtopk.*) other=$results/matching/matching.json ;;
        *) other=$results/census/census.json ;;
        esac
        grep -F -A 4 "\"$key\": {" matching.json | sed -n 2,4p >one
        grep -F -A 4 "\"$key\": {" $other | sed -n 2,4p >two
        if [ -s one ] && cmp -s one two; then n=$((n + 1)); else not_ok "matching: $key" "$(cat one two)"; fi
    done
    # seven rows of seven numbers and more, if the curves reach them, and eleven of each of six dictionaries
    if [ $n -ge 115 ]; then ok "matching: $n numbers of the run"; else not_ok "matching: $n numbers of the run"; fi
    for key in batchtopk.k.fvu batchtopk.l0.fvu batchtopk-p1-k6-s5.ce_ratio batchtopk.baseline_k3.fvu batchtopk.l0.dense_0.1.less_at_l0; do same_numbers "matching" matching.json $key matching.json $key; done
    expect "matching, one with a scaffold" 0 '' lab matching $base $at/batchtopk-p1-k6-s5 $given
    if grep -q 'there is none' out; then ok "none has the baseline's k"; else not_ok "none has the baseline's k" "$(cat out)"; fi
    if grep -q 'rank 2: there is P1 of one k alone' out && grep -q 'it takes further k' out; then ok "and other rules need more k"; else not_ok "and other rules need more k" "$(cat out)"; fi
    if grep -q 'of one k alone' matching.json; then not_ok "which three have"; else ok "which three have"; fi
    expect "matching without a baseline" 1 'one of rank 0' lab matching $curve $given
    expect "matching, two baselines" 1 'give one baseline' lab matching $base $at/batchtopk-baseline-s6 $p1 $given
    expect "matching, baselines alone" 1 'has a scaffold' lab matching $base $plain $given
    expect "matching, one k twice" 1 'both have k 4' lab matching $base $p1 $at/batchtopk-p1-s6 $given
    expect "matching, one dictionary" 2 'something is missing' lab matching $base $given
    expect "matching, no text" 2 '--text or --ids' lab matching $base $p1 --model tiny
    expect "matching, another width" 1 'another width of rows' lab matching $base narrow/sae $given
    expect "matching, another site" 1 'another site' lab matching $base other_p1 $given
    expect "matching, another name of it" 0 '' lab matching $base other_p1 $given --site resid_post.0
    expect "matching, another centre" 1 'another --scaffold-centre' lab matching $base $p1 centred $given
    expect "redundancy, another site" 1 'was trained on rows of blocks.1' lab redundancy --dict $base --scaffold-of other_p1 $given
    expect "matching over 20 %" 0 '' lab matching $base $curve $given --ce-tokens 200 --dense-threshold 0.2 --out over20.json
    if grep -q 'shares over 20 %' over20.json; then ok "it says so"; else not_ok "it says so" "$(grep -o 'shares over.*' over20.json)"; fi
    expect "matching, no share" 2 'between 0 and 1' lab matching $base $p1 $given --dense-threshold 0
    expect "matching, nothing to lose" 2 '--ce-tokens' lab matching $base $p1 $given --ce-tokens 0
}

# ---- retrain ----
# shellcheck disable=SC2086
{
    again="lab retrain --dict $base --store run/acts $given --seed 5"
    expect "retrain" 0 '' $again --out anew
    alike "retrain" anew/results/retrain.json $results/retrain/retrain.json numbers tables plots
    for arm in less-dense less-others; do
        if cmp -s anew/$arm/sae/sae_weights.safetensors $at/batchtopk-$arm-s5/sae_weights.safetensors; then ok "$arm: the same weights"; else not_ok "$arm: the same weights"; fi
    done
    if [ -s anew/report.html ] && [ ! -e anew/less-dense/checkpoints ]; then ok "it leaves a report and no checkpoint"; else not_ok "it leaves a report and no checkpoint"; fi
    cp anew/run.json kept
    expect "retrain of a finished run" 0 '' $again --out anew
    if cmp -s anew/run.json kept; then ok "it is kept"; else not_ok "it is kept"; fi
    expect "retrain of a finished run by another draw" 1 'finished run' $again --seed 6 --out anew
    rm -r anew/run.json anew/less-others
    cp anew/less-dense/log.jsonl kept
    expect "retrain goes on" 0 '' $again --out anew
    alike "retrain, gone on with" anew/results/retrain.json $results/retrain/retrain.json numbers
    if cmp -s kept anew/less-dense/log.jsonl; then ok "with what was finished"; else not_ok "with what was finished"; fi
    rm anew/run.json
    expect "retrain, other text" 1 'trained otherwise' $again --tokens 300 --out anew
    expect "retrain, another draw by force" 0 '' $again --seed 6 --out anew --force
    mkdir -p theirs/less-dense
    expect "retrain, somebody else's folder" 1 'of no run of this command' $again --out theirs
    expect "retrain of a scaffold" 1 'give a baseline' lab retrain --dict $p1 --store run/acts $given --out none
    expect "retrain, no store" 2 '--store' lab retrain --dict $base $given --out none
    expect "retrain, nowhere to go" 2 '--out' lab retrain --dict $base --store run/acts $given
    expect "retrain, rows of another site" 1 'holds rows of blocks.0' lab retrain --dict other_base --store run/acts $given --out none
    cp -r $base lone
    expect "retrain, no record" 1 '--record' lab retrain --dict lone --store run/acts $given --out none
    expect "retrain, the record of another" 1 'recipe' lab retrain --dict lone --store run/acts $given --out none --record run/cost.json
    sed 's/"lr": [0-9.]*/"lr": "fast"/' $base.json >lone.json
    expect "retrain, a record that is broken" 1 'lone.json' lab retrain --dict lone --store run/acts $given --out none
    sed '/"auxk_rule"/d' $base.json >lone.json
    expect "retrain, a record that lacks something" 1 'auxk_rule' lab retrain --dict lone --store run/acts $given --out none
    if [ -e none ]; then not_ok "what is refused makes nothing"; else ok "what is refused makes nothing"; fi
    expect "a dictionary of sae train" 0 '' train --store run/acts --width 64 --k 4 --batch 64 --rows 4096 --out trained --quiet
    expect "retrain of it" 0 '' lab retrain --dict trained/sae --store run/acts $given --out trained_anew --json
    if grep -q '"less_others.dense_0.1"' out; then ok "retrain --json is one"; else not_ok "retrain --json is one"; fi
    rm trained_anew/run.json
    expect "another threshold is another training" 1 'trained otherwise' lab retrain --dict trained/sae --store run/acts $given --out trained_anew --dense-threshold 0.2
    expect "retrain of latents over 20 %" 0 '' lab retrain --dict trained/sae --store run/acts $given --out trained_anew --dense-threshold 0.2 --json --force
    if grep -q '"less_others.dense_0.2"' out; then ok "it counts those"; else not_ok "it counts those"; fi
    expect "retrain, dense latents that span all of the rows" 0 '' lab retrain --dict $base --store run/acts $given --out spanned --dense-threshold 0.000001
    if grep -q 'has 32 of 32 dimensions' spanned/results/retrain.json && [ ! -e spanned/less-dense ]; then ok "nothing is trained"; else not_ok "nothing is trained"; fi
    expect "retrain, no share" 2 'between 0 and 1' lab retrain --dict $base --store run/acts $given --out none --dense-threshold 1
}

# ---- A dictionary that only a part trains, and that is another's ----
# shellcheck disable=SC2086
{
    cp $at/batchtopk-less-dense-s5/sae_weights.safetensors kept
    cp $results/retrain/retrain.json kept.json
    cp $base/sae_weights.safetensors $at/batchtopk-less-dense-s5/sae_weights.safetensors
    loud=${the_run% --quiet}
    "$sae" $loud >out 2>err
    code=$?
    if [ $code -eq 0 ] && ! grep -q 'trained again' err; then ok "where its part was measured it is not needed"; else not_ok "where its part was measured it is not needed" "$(cat err)"; fi
    rm $results/retrain/retrain.json
    expect "else it is told" 0 'batchtopk-less-dense-s5/sae_weights.safetensors is not as it was saved: batchtopk-less-dense-s5 is trained again' $loud
    if cmp -s kept $at/batchtopk-less-dense-s5/sae_weights.safetensors && cmp -s kept.json $results/retrain/retrain.json; then ok "and ends as before"; else not_ok "and ends as before"; fi
}

# ---- Parts that leave a run ----
mkdir $results/mine && echo mine >$results/mine/notes && echo mine >$results/retrain/notes
expect "the run with fewer parts" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --budget standard --arch batchtopk --variants p1 --seeds 1 \
    --rank 2 --width 64 --k 4 --ks 3,6 --ranks none --points 0 --batch 64 --ctx 32 --tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 \
    --cards 1 --topics none --seed 5 --retrain no --out run --quiet --force
for gone in stability batchtopk-p1-s6 batchtopk-p1-s7 retrain/retrain.json; do
    if [ -e $results/$gone ]; then not_ok "$gone is gone"; else ok "$gone is gone"; fi
done
for gone in batchtopk-p1-s6 retrain; do
    if [ -e run/parts/$gone.json ]; then not_ok "the record of $gone is gone"; else ok "the record of $gone is gone"; fi
done
for kept in mine/notes retrain/notes matching/matching.json census/census.json batchtopk-p1-s5/structure.json summary/summary.json; do
    if [ -s $results/$kept ]; then ok "$kept stays"; else not_ok "$kept stays"; fi
done

# ---- Another wiring in the claims ----
expect "a run whose claims are about P3" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --budget standard --arch batchtopk --variants p3,p1 --seeds 2 \
    --rank 2 --width 64 --k 4 --ks 3,6 --ranks 1 --points 0 --batch 64 --ctx 32 --tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 \
    --cards 1 --topics none --seed 5 --retrain no --out run --quiet --force
if [ -d $at/batchtopk-p3-s6 ] && [ -d $at/batchtopk-p3-k6-s5 ] && [ -d $at/batchtopk-p3-r1-s5 ]; then ok "has P3 of every seed, k and rank"; else not_ok "has P3 of every seed, k and rank" "$(ls $at)"; fi
if grep -q 'P3, equal k' $results/matching/matching.json; then ok "holds P3 against its baseline"; else not_ok "holds P3 against its baseline"; fi
if grep -q 'dense latents (over 10 %), batchtopk, P3' out && grep -q 'Scaffolds (P3, unless' out; then ok "and says so"; else not_ok "and says so" "$(head -n 30 out)"; fi
