#!/bin/sh
# test_lab_removal.sh - `sae lab removal` against what tests/peers/make_removal_golden.py computed in PyTorch (data/golden/removal),
# on a tiny model and on SmolLM2; and its mistakes.
#
# The bound is 0.2 % of each cross-entropy. Observed (SAE_OBSERVED=1 shows it): 3.9e-8 on the tiny model, 1.5e-6 on SmolLM2; 7.5e-5 there where position 0's row,
# of norm 20,000, is changed too.
set -u
root=$PWD
. ./tests/letters.sh
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
golden=$root/data/golden/removal
tiny=$root/data/golden/models/llama_gqa_tied
smollm2=${SAE_SMOLLM2:-$root/models/SmolLM2-135M-Instruct.Q4_1.gguf}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

ok() { echo "ok $1"; }
not_ok() {
    echo "not ok $1"
    echo "--- exit code $code, standard output:" && cat out
    echo "--- standard error:" && cat err
}
# Demands an exit code, and a text on standard output (code 0) or standard error.
expect() { # NAME CODE TEXT ARGUMENTS...
    name=$1 wanted=$2 text=$3
    shift 3
    "$sae" "$@" >out 2>err </dev/null
    code=$?
    stream=err
    [ "$wanted" -eq 0 ] && stream=out
    if [ $code -eq "$wanted" ] && grep -qF -e "$text" $stream; then ok "$name"; else not_ok "$name"; fi
}
check() { # NAME COMMAND...
    name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# The value of a key that stands on a line of its own, in the golden or in what the command printed.
value() { sed -n "s/^ *\"$2\": \([-0-9.e+]*\),*\$/\1/p" "$1" | head -n 1; }
# Is |a - b| <= share x |b|? Remembers the largest share seen.
largest=0
near() { # A B SHARE
    awk -v a="$1" -v b="$2" -v s="$3" 'BEGIN { d = a > b ? a - b : b - a; exit !(a != "" && b != "" && d <= s * (b < 0 ? -b : b)) }' || return 1
    largest=$(awk -v a="$1" -v b="$2" -v l="$largest" 'BEGIN { d = b ? (a > b ? a - b : b - a) / b : 0; print (d > l ? d : l) }')
}

# Every number of a golden; the random subspaces, which are others, within 4 standard errors of the difference of two means.
agree() { # CASE
    case_file=$golden/$1.json
    for key in clean zero mean R2 R3 R6 pca.R2 pca.R3; do
        near "$(value out "$key")" "$(value "$case_file" "$key")" 0.002 || { echo "$1: $key" >>err && return 1; }
    done
    near "$(value out passes)" 26 0 || { echo "$1: passes" >>err && return 1; } # ten, and R2 and R3 of 8 draws
    for key in rank tokens_scored rows_changed rows_over_norm statistics_rows; do
        near "$(value out "$key")" "$(value "$case_file" "$key")" 0 || { echo "$1: $key" >>err && return 1; }
    done
    awk -v a="$(value out random.R2)" -v b="$(sed -n '/"random"/,$p' "$case_file" | sed -n 's/^ *"mean": \([0-9.]*\).*/\1/p')" \
        -v s="$(value "$case_file" deviation)" -v n="$(value "$case_file" draws)" \
        'BEGIN { d = a > b ? a - b : b - a; exit !(a > 0 && d <= 4 * s * sqrt(1 / 8 + 1 / n)) }' || { echo "$1: random" >>err && return 1; }
}

# The same with more rows changed, by every operator.
agree_changed() { # CASE ROWS
    for key in zero mean R2 R3 R6 pca.R2 pca.R3; do
        near "$(value out $key)" "$(value "$golden/$1.json" $2.$key)" 0.002 || { echo "$1: $2.$key" >>err && return 1; }
    done
    near "$(value out clean)" "$(value "$golden/$1.json" clean)" 0.002 &&
        near "$(value out tokens_scored)" "$(value "$golden/$1.json" tokens_scored)" 0
}

# On the files of the golden in hand.
again() { # OPTIONS...
    "$sae" lab removal --model "$model" --site "$(sed -n 's/^ *"site": "\(.*\)",*$/\1/p' "$golden/$name.json")" \
        --ids "$golden/$name.ids.npy" $stats --basis "$golden/$name.basis.npy" \
        --max-norm "$(value "$golden/$name.json" max_norm)" --json "$@" >out 2>err
    code=$?
    return $code
}

# Runs the command on a golden's files. The tiny model has no tokenizer, so its special ids are said.
golden_case() { # CASE MODEL EXTRA...
    name=$1 model=$2
    shift 2
    stats=
    [ -f "$golden/$name.stats.npy" ] && stats="--stats-ids $golden/$name.stats.npy"
    again --draws 8 "$@"
    if [ $code -eq 0 ] && agree "$name"; then ok "PyTorch's numbers: $name"; else not_ok "PyTorch's numbers: $name"; fi
    cp out "$name.out" && cp err "$name.err"
    for rows in $choices; do
        again --draws 1 --change $rows "$@"
        if [ $code -eq 0 ] && agree_changed "$name" $rows; then ok "and more rows changed: $name, $rows"; else not_ok "and more rows changed: $name, $rows"; fi
    done
    [ -z "${SAE_OBSERVED:-}" ] || echo "observed: $name, largest relative difference so far $largest"
}

choices="position-0 all"
golden_case tiny "$tiny" --special 2,5
cp tiny.out first
golden_case tiny_stats "$tiny" --special 2,5
check "columns that depend on others are told" grep -q 'of its 2 columns 1 are independent' tiny_stats.err
check "rows over the norm limit among those of the mean are told" grep -q -e '--counted-stats' tiny_stats.err
if [ -f "$smollm2" ]; then
    golden_case resid_post "$smollm2"
    choices= # they take as long again
    for name in resid_pre over_norm; do golden_case $name "$smollm2"; done
else
    echo "SKIP: $smollm2 is not there (make fetch-model): lab removal against PyTorch on SmolLM2"
fi

# ---- The command ----

ids=$golden/tiny.ids.npy basis=$golden/tiny.basis.npy
given="lab removal --model $tiny --site resid_post.1 --basis $basis"
expect "lab lists its commands" 0 'sae lab removal' lab --help
expect "a table for people" 0 'share of the way to uniform' $given --ids "$ids" --special 2,5
check "with its rows" grep -q 'R6 norm kept' out
expect "the same command, the same bytes" 0 '"R2"' $given --ids "$ids" --special 2,5 --draws 8 --json
check "whatever ran before" cmp -s out first
check "R3 of the random subspaces stands beside their R2" test -n "$(value out random.R3)" -a "$(value out random.R3)" != "$(value out random.R2)"
check "and R3 has an interval over them" grep -q '"R3.over_random": {' out
expect "more draws leave the other numbers" 0 '"R2"' $given --ids "$ids" --special 2,5 --draws 2 --json
check "as they were" test "$(value out R5)" = "$(value first R5)"
"$sae" lab removal --model "$tiny" --site resid_pre.2 --ids "$golden/tiny_stats.ids.npy" --basis "$basis" --special 2,5 \
    --max-norm 1.1 --draws 1 --counted-stats --quiet --json >counted 2>err
check "unless they are left out" test "$(value counted statistics_rows)" = "$(value counted rows_changed)"
check "silently then" test ! -s err
expect "with position 0 and special ids" 0 '"R2"' $given --ids "$ids" --with-bos --draws 1 --json
check "every row of 10 x 24 is changed" test "$(value out rows_changed)" = 240.0
check "and all but the last scored" test "$(value out tokens_scored)" = 230.0
check "the mean is of all of them" test "$(value out statistics_rows)" = 240.0
expect "a limit of the norm that is given holds" 0 '"R2"' $given --ids "$ids" --with-bos --max-norm 1.1 --draws 1 --json
n=$(value out rows_changed)
check "so that fewer are changed" test "${n%.0}" -lt 240
expect "--with-bos needs no special ids" 2 '--special' $given --ids "$ids" --special 2,5 --with-bos
expect "--change counted is the default" 0 '"R2"' $given --ids "$ids" --special 2,5 --draws 8 --change counted --json
check "byte for byte" cmp -s out first
for rows in position-0 all; do
    expect "$rows changed too" 0 '"R2"' $given --ids "$ids" --special 2,5 --draws 8 --change $rows --json
    check "the same scored" test "$(value out tokens_scored)" = "$(value first tokens_scored)"
    check "and clean" test "$(value out clean)" = "$(value first clean)"
    check "the same keys" sh -c 'sed "s/: .*//" first >keys && sed "s/: .*//" out | diff keys - | grep -c "^[<>].*\"\(R\|pca\|random\|ratio\)" | grep -qx 0'
    cp out $rows
done
check "ten rows more" test "$(value position-0 rows_changed)" = 237.0
check "or all" test "$(value all rows_changed)" = 240.0
check "which is not the same" test "$(value all R2)" != "$(value position-0 R2)" -a "$(value all R2)" != "$(value first R2)"
expect "no such rows" 2 '--change' $given --ids "$ids" --special 2,5 --change some
expect "where every row counts" 2 '--change would do nothing' $given --ids "$ids" --with-bos --change all
expect "but for a limit of the norm" 0 '"R2"' $given --ids "$ids" --with-bos --max-norm 1.1 --draws 1 --change all --json
check "all 10 x 24 of them" test "$(value out rows_changed)" = 240.0
expect "a folder" 0 'CE, nats' $given --ids "$ids" --special 2,5 --draws 1 --out run
check "with its numbers" grep -q '"pca.R3"' run/results/removal.json
check "and its page" grep -q 'norm kept' run/report.html
check "and what was asked" grep -q 'lab removal' run/run.json
expect "is not written over" 1 'not of this call and these inputs' $given --ids "$ids" --special 2,5 --out run
cp "$ids" own_ids.npy
cp "$basis" own_basis.npy
measured="lab removal --model $tiny --site resid_post.1 --basis own_basis.npy --ids own_ids.npy --special 2,5 --draws 1"
on_own="$measured --out kept"
expect "as JSON" 0 '"R2"' $measured --json
sed -n '/^  "numbers"/,$p' out >json
expect "measured once" 0 'CE, nats' $on_own
cp out said
cp kept/run.json first_run
expect "not measured again" 0 'CE, nats' $on_own
check "but told to be kept" grep -q 'kept/results/removal.json is of this call and these inputs: it is kept' err
check "with the same text" cmp -s out said
check "and nothing written" cmp -s kept/run.json first_run
expect "in quiet too, as JSON" 0 '"R2"' $on_own --json --quiet --threads 1
sed -n '/^  "numbers"/,$p' out >kept_json
check "the same numbers and tables" cmp -s kept_json json
expect "other draws are another call" 1 'not of this call and these inputs' $on_own --draws 2
expect "an option that says the default is not" 0 'CE, nats' $on_own --seed 0
printf '\3' | dd of=own_ids.npy bs=1 seek=200 conv=notrunc 2>/dev/null
expect "other ids under the same name are other inputs" 1 'not of this call and these inputs' $on_own
cp "$ids" own_ids.npy
printf '\1' | dd of=own_basis.npy bs=1 seek=200 conv=notrunc 2>/dev/null
expect "and so is another basis" 1 'not of this call and these inputs' $on_own
cp "$basis" own_basis.npy
expect "an option of the call that is wrong is told before" 2 '--draws' $on_own --draws 0
expect "unless --force is given" 0 'CE, nats' $given --ids "$ids" --special 2,5 --draws 1 --out run --force

expect "no tokenizer and no --special" 1 '--special' $given --ids "$ids"
expect "neither ids nor text" 2 'either --ids or --text' $given
expect "both" 2 'either --ids or --text' $given --ids "$ids" --text t.txt
expect "an option of text with ids" 2 '--ctx is for --text' $given --ids "$ids" --ctx 8
expect "an option of ids with text" 2 '--special is for --ids' $given --text t.txt --special 2
expect "a special id that is none" 2 'no token id' $given --ids "$ids" --special 2,x
expect "nor is a negative one" 2 'no token id' $given --ids "$ids" --special 2,-1
expect "but for -1, none of them" 0 '"R2"' $given --ids "$ids" --special -1 --draws 1 --json
check "more rows count than with two" awk -v a="$(value out rows_changed)" -v b="$(value first rows_changed)" 'BEGIN { exit !(a > b && b > 0) }'
expect "a norm limit that no row keeps" 1 'no position can be scored: ' $given --ids "$ids" --special 2,5 --max-norm 0.01
check "and it is named, no text" sh -c 'grep -qF -e "--max-norm" err && ! grep -q "held-out text" err'
expect "no draws" 2 '--draws' $given --ids "$ids" --special 2 --draws 0
expect "neither --basis nor --dict" 2 'one of --dict and --basis' lab removal --model "$tiny" --site resid_post.1 --ids "$ids"
expect "no --site" 2 '--site' lab removal --model "$tiny" --basis "$basis" --ids "$ids"
expect "a site the model lacks" 1 'layer' lab removal --model "$tiny" --site resid_post.9 --basis "$basis" --ids "$ids"
expect "ids as a basis" 1 'must be [32, r]' lab removal --model "$tiny" --site resid_post.1 --basis "$ids" --ids "$ids" --special 2
expect "a basis as ids" 1 'int32 or int64' $given --ids "$basis" --special 2
expect "a file that is not there" 1 'nowhere.npy' $given --ids nowhere.npy --special 2

# ids [2, 8] of which none, or one, is unmasked: the file that they are in is named
make_ids() { # FILE, ids in octal behind it
    header=$(printf '%-117s' "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 8), }")
    file=$1
    shift
    printf '\223NUMPY\001\000v\000%s\n' "$header" >"$file"
    for id in "$@"; do printf "\\$id\\000\\000\\000" >>"$file"; done
}
make_ids special.npy 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2
make_ids one.npy 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 7
expect "special ids alone for the statistics" 1 'special.npy: every token is masked' $given --ids "$ids" --stats-ids special.npy --special 2,5
expect "one row for the statistics" 1 'one.npy: a covariance takes two rows or more, found 1' $given --ids "$ids" --stats-ids one.npy --special 2,5
make_ids two.npy 2 7 10 11 12 13 14 15 2 2 2 2 2 2 2 2
sed 's/(2, 8)/(1, 8)/' two.npy | head -c 160 >first.npy # 128 bytes of header, the first 8 ids
expect "one sequence" 0 '"R2.over_random"' $given --ids first.npy --special 2,5 --json
check "has no interval" awk '/"ratio.R2": {/ { inside = 1 } inside && /"(low|high)": null/ { n++ } /}/ { inside = 0 } END { exit n != 2 }' out
expect "as a table" 0 'R6 norm kept' $given --ids first.npy --special 2,5
check "neither has that" sh -c '! grep -q "\[[-0-9.na]*, " out'
expect "special ids alone" 1 'special.npy: every token is masked' $given --ids special.npy --special 2,5
expect "one row" 1 'one.npy: a covariance takes two rows or more, found 1' $given --ids one.npy --special 2,5

# Text, with a byte-level tokenizer of a few letters; id 0 begins sequences.
letters_model model
few_letters >text.jsonl
of_text="lab removal --model model --site resid_post.1 --basis $basis --text text.jsonl --ctx 16"
expect "text" 0 '"random.R2"' $of_text --split all --tokens 300 --draws 1 --json
check "as much as was asked" near "$(value out rows_changed)" 300 0.05
expect "held-out text by default" 1 'two are needed' $of_text --ctx 60

# ---- The subspace of a dictionary ----
"$sae" tap "$tiny" --ids "$ids" --site blocks.1.hook_resid_post --out rows.safetensors --quiet >log 2>&1 || not_ok "rows to train on"
{
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (240, 32), }"
    tail -c 30720 rows.safetensors
} >rows.npy
"$sae" sweep --array rows.npy --width 64 --k 4 --rank 0,2 --batch 16 --rows 1600 --out grid --quiet >log 2>&1 ||
    { cp log err && not_ok "dictionaries"; }
plain=grid/w64-k4-r0-s0/sae scaffold=grid/w64-k4-r2-s0/sae
# W_up [2, 32] transposed: [32, 2]
weights=$scaffold/sae_weights.safetensors
header=$(od -An -v -t u8 -N 8 "$weights" | tr -d ' ')
begin=$(head -c $((header + 8)) "$weights" | tail -c "$header" | tr -d ' ' | sed 's/.*"W_up":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/')
tail -c +$((header + 9 + begin)) "$weights" | head -c 256 | od -An -v -t o1 -w4 | awk '{ gsub(" ", "\\"); row[NR] = $0 }
    END { for (i = 1; i <= 32; i++) printf "%s%s", row[i], row[32 + i] }' >octal
{
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (32, 2), }"
    printf "$(cat octal)"
} >W_up.npy
on="--model $tiny --site resid_post.1 --ids $ids --special 2,5 --draws 2"
expect "the columns of W_up" 0 '"R2"' lab removal --basis W_up.npy $on --json
cp out by_basis
expect "the scaffold of a dictionary" 0 '"R2"' lab removal --dict $scaffold $on --json
check "are the same subspace" cmp -s out by_basis
check "of rank 2" near "$(value out rank)" 2 0
expect "its rows as a basis" 1 '--dict' lab removal --basis $weights:W_up $on
check "are told to be rows" grep -q 'save the transpose' err
expect "a dictionary without a scaffold" 1 'has no scaffold (rank 0): give one that has' lab removal --dict $plain $on
expect "a dictionary and a basis" 2 'one of --dict and --basis' lab removal --dict $scaffold --basis W_up.npy $on
expect "a dictionary that knows no site" 2 '--site' lab removal --dict $scaffold --model "$tiny" --ids "$ids" --special 2,5
"$sae" train --model model --text text.jsonl --site resid_post.1 --width 64 --k 4 --rank 2 --batch 16 --rows 320 --ctx 16 --out own --quiet >log 2>&1 ||
    { cp log err && not_ok "a dictionary of a model"; }
of_own="lab removal --dict own/sae --text text.jsonl --ctx 16 --split all --tokens 300 --draws 1 --json"
expect "model and site are the dictionary's own" 0 '"R2"' $of_own
cp out own.json
expect "or those that are given" 0 '"R2"' $of_own --model model --site blocks.1.hook_resid_post
check "which here are the same" cmp -s out own.json
