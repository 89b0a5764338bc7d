#!/bin/sh
# test_acts_cli.sh - `sae acts` on a tiny model: a store appears whole, is not overwritten, and mistakes are named.
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

# A byte-level tokenizer of a few letters; id 0 begins sequences.
letters_model model
few_letters >text.jsonl

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

all="--text text.jsonl --ctx 16 --split all"
expect "a store is written" 0 "300 rows of blocks.1.hook_resid_post, width 32, bf16" \
    acts model --site resid_post.1 $all --tokens 300 --out store
cp -r store store300
check "it holds its shard" test -s store/shard-00000.safetensors
check "it says what the rows are" grep -q '"separator": 0' store/meta.json
cp store/meta.json kept
expect "it is not overwritten" 1 '--force' acts model --site resid_post.1 $all --out store
check "and is as it was" cmp -s kept store/meta.json
expect "unless --force is given" 0 '"dtype": "f32"' \
    acts model --site resid_post.1 $all --tokens 200 --dtype f32 --json --force --out store
expect "the end of the text is told" 0 'rows of blocks.0.hook_mlp_out' \
    acts model --site mlp_out.0 $all --tokens 1M --out short
check "as a warning" grep -q 'the input ended after' err
mkdir mine && echo mine >mine/notes
expect "a folder of other things is not replaced" 1 'notes' acts model --site mlp_out.0 $all --force --out mine
check "and keeps them" test -s mine/notes
expect "no --out" 2 '--out' acts model --site resid_post.1 $all
expect "no --site" 2 '--site' acts model $all --out none
expect "a site twice" 2 'twice' acts model --site resid_post.1,resid_post.1 $all --out none
expect "appended and shuffled" 2 '--shuffle' acts model --site resid_post.1 $all --append --shuffle --out none
expect "appended to nothing" 1 'none' acts model --site resid_post.1 $all --append --out none
expect "a seed of no order" 2 '--seed would do nothing' acts model --site resid_post.1 $all --seed 3 --out none
expect "memory for no shuffling" 2 '--memory would do nothing' acts model --site resid_post.1 $all --memory 1G --out none
expect "a limit that no row keeps" 2 '--max-norm 0 would leave no row' acts model --site resid_post.1 $all --max-norm 0 --out none
expect "no --text" 2 '--text' acts model --site resid_post.1 --out none
expect "an unknown type" 2 'bf16' acts model --site resid_post.1 $all --dtype f8 --out none
expect "a site the model lacks" 1 'layer' acts model --site resid_post.9 $all --out none
expect "a context the model lacks" 1 'context' acts model --site resid_post.1 --text text.jsonl --ctx 100 --out none
expect "a text that is not there" 1 'nowhere' acts model --site resid_post.1 --text nowhere.txt --out none
expect "memory that holds no shard, before the model runs" 1 'give ' \
    acts model --site resid_post.1 $all --shuffle --memory 1000 --shard-rows 100 --out none
check "mistakes leave nothing" test ! -e none

expect "two sites" 0 "both/blocks.1.hook_resid_post: 300 rows" \
    acts model --site mlp_out.0 --site resid_post.1 $all --tokens 300 --out both
check "the same rows as alone" cmp -s both/blocks.1.hook_resid_post/shard-00000.safetensors store300/shard-00000.safetensors
expect "each says its site" 0 "blocks.0.hook_mlp_out" info both/blocks.0.hook_mlp_out
expect "int8 tells its error" 0 "relative error of the stored rows 0.00" \
    acts model --site resid_post.1 $all --dtype int8 --shuffle --seed 3 --out eight
expect "info of a store" 0 "shuffled" info eight
expect "info of a store as JSON" 0 '"n_rows": 1341' info eight --json
expect "verified" 0 "all 1341 rows" acts --verify eight
expect "verified, as JSON" 0 '"rows_verified": 1341' acts --verify eight --json
for given in "--tokens 5" --force "--out none" "--dtype f32" --append --shuffle "--site resid_post.1" "--seed 1"; do
    # shellcheck disable=SC2086
    expect "verified with $given" 2 "${given%% *} would do nothing" acts --verify both $given
done
expect "verified, of several sites" 0 "all 300 rows" acts --verify both
printf 'x' | dd of=eight/shard-00000.safetensors bs=1 seek=5000 conv=notrunc 2>/dev/null
expect "damage is named" 1 "eight/shard-00000.safetensors" acts --verify eight
expect "appended" 0 "500 rows of blocks.1.hook_resid_post" \
    acts model --site resid_post.1 $all --tokens 200 --append --out store300
expect "in one go" 0 "500 rows" acts model --site resid_post.1 $all --tokens 500 --out store500
check "appended rows are those of one go" cmp -s store300/shard-00000.safetensors store500/shard-00000.safetensors
# Killed when all but tidying up was done: the same again finds all of its rows there.
call=20
while [ $call -lt 300 ] && rm -rf killed killed.partial && cp -r store500 killed; do
    SAE_FAIL_IO="$call:KILL" "$sae" acts model --site resid_post.1 $all --tokens 200 --append --out killed >out 2>err </dev/null
    [ ! -e killed/progress.json ] || break
    call=$((call + 1))
done
expect "an append that was killed at its very end" 0 "700 rows" acts model --site resid_post.1 $all --tokens 200 --append --out killed
check "has all that was asked for" sh -c '! grep -q "the input ended" err && [ ! -e killed.partial ]'
# Until its result is told, the same command is the same: it appends once.
append="--site resid_post.1 $all --tokens 200 --append"
# shellcheck disable=SC2086
untold() { # FOLDER ARGUMENTS: to where nothing can be written
    "$sae" acts model $2 --out "$1" >/dev/full 2>err </dev/null
    code=$?
    [ $code -eq 1 ] && grep -q "$1 has all of its rows, the same command.* tells of them .*standard output" err
}
if [ -w /dev/full ]; then
    rm -rf killed && cp -r store500 killed
    check "an append that cannot tell its result" untold killed "$append"
    check "and cannot again" untold killed "$append --json"
    # shellcheck disable=SC2086
    expect "then can" 0 "700 rows" acts model $append --out killed
    check "which it says" grep -q 'has the rows of this command already: none are appended' err
    check "and leaves a store as any other" test ! -e killed/progress.json
    # shellcheck disable=SC2086
    expect "one more is another one" 0 "900 rows" acts model $append --out killed
    # At the end of the text: what finds nothing more is not told that it has its rows.
    expect "all of the text" 0 "1341 rows" acts model --site resid_post.1 $all --out ended
    check "an append of nothing that cannot tell it" untold ended "$append"
    expect "another one" 0 "1341 rows" acts model --site resid_post.1 $all --tokens 50 --append --out ended
    check "is told where the text ended" grep -q 'the input ended after 0 of 50 rows' err
    check "and not that it is done" sh -c '! grep -q already err'
    check "a store that is not told of" untold untold "--site resid_post.1 $all --tokens 300"
    expect "is told of" 0 "300 rows" acts model --site resid_post.1 $all --tokens 300 --out untold
    check "as it would have been" cmp -s untold/shard-00000.safetensors both/blocks.1.hook_resid_post/shard-00000.safetensors
    expect "and then is there" 1 '--force' acts model --site resid_post.1 $all --tokens 300 --out untold
    # What was not told of and is of another text by now is not taken for what is asked for.
    tr abcd dbca <text.jsonl | sed 's/"[a-z]*":/"text":/' >text2.jsonl
    own="--site resid_post.1 --text own.jsonl --ctx 16 --split all --tokens 300"
    cp text2.jsonl own.jsonl
    # shellcheck disable=SC2086
    "$sae" acts model $own --out own2 >out 2>err </dev/null
    cp text.jsonl own.jsonl
    check "a store of a text" untold own "$own"
    cp -r own unplaced.partial
    cp text2.jsonl own.jsonl
    expect "that changes before it is told of" 1 'have its files changed?' acts model $own --out own
    check "one computed anew that is not told of" untold own "$own --force"
    check "says how it is" grep -q 'same command without --force tells' err
    check "it has the rows of the text as it is" cmp -s own/shard-00000.safetensors own2/shard-00000.safetensors
    expect "and is told of" 0 "300 rows" acts model $own --out own
    expect "of a changed text, not in its place" 1 'have its files changed?' acts model $own --out unplaced
    expect "which --force computes anew" 0 "300 rows" acts model $own --force --out unplaced
    check "from the text as it is" cmp -s unplaced/shard-00000.safetensors own2/shard-00000.safetensors
fi
first=$((call - 8)) # that one was the first behind its having all rows
killed_at_its_end() { # NAME: the append is killed at every call from $first on and made again
    call=$first
    tried=0
    once=0
    # shellcheck disable=SC2086
    while rm -rf killed killed.* && cp -r store500 killed; do
        SAE_FAIL_IO="$call:KILL" "$sae" acts model $append --out killed >out 2>err </dev/null && break
        grep -q '700 rows' out || "$sae" acts model $append --out killed >out 2>err </dev/null
        tried=$((tried + 1))
        grep -q '"n_rows": 700' killed/meta.json && once=$((once + 1))
        call=$((call + 1))
    done
    check "$1" test $tried -gt 10 -a $once -eq $tried
}
killed_at_its_end "killed anywhere at its end, it is appended once"
export SAE_NO_EXCHANGE=1
killed_at_its_end "and where names cannot be exchanged"
unset SAE_NO_EXCHANGE
expect "to be appended to, in f32" 0 "300 rows" acts model --site resid_post.1 $all --tokens 300 --dtype f32 --out f32_300
expect "appended without --dtype" 0 "500 rows" acts model --site resid_post.1 $all --tokens 200 --append --out f32_300
expect "what stands there is still f32" 0 "F32" info f32_300
expect "appended with another --dtype" 1 "F16 cannot be appended" acts model --site resid_post.1 $all --tokens 200 --append --dtype f16 --out f32_300
# Rows are kept when the memory for shuffling them turns out too little: what goes on with them is told, and does.
shuffled="--site resid_post.1 $all --shuffle --seed 4"
expect "memory that does not hold the shuffle of a text of unknown length" 1 '1341 rows are kept in little.partial: the same call with --memory' \
    acts model $shuffled --memory 40000 --out little
change=$(sed -n 's/.*the same call with \(--memory [0-9]* --shard-rows [0-9]*\) goes on.*/\1/p' err)
check "says of what size" test -n "$change"
expect "the same call again" 1 "the same call with $change goes on" acts model $shuffled --memory 40000 --out little
expect "appended to, unfinished" 1 "only little.partial, which is unfinished: the command that began it goes on with it: " \
    acts model --site resid_post.1 $all --append --out little
check "by which command" grep -qF "acts model $shuffled --memory 40000 --out little" err
expect "with the memory that was told" 0 "1341 rows" acts model $shuffled $change --out little
check "none are computed again" grep -q 'going on with little.partial' err
expect "as at once" 0 "1341 rows" acts model $shuffled $change --out little2
check "the same rows" cmp -s little/shard-00000.safetensors little2/shard-00000.safetensors
# A text is what stands in it, not how its file is called, and a model likewise.
mkdir elsewhere && cp text.jsonl elsewhere/same.jsonl && tr abcd dbca <text.jsonl | sed 's/"[a-z]*":/"text":/' >elsewhere/other.jsonl
at() { (cd elsewhere && "$sae" acts ../model --ctx 16 --split all --quiet "$@" >../out 2>../err </dev/null); }
cp -r store300 named && rm -rf named.partial
expect "another text is not appended" 1 'is not the one that was read before' \
    acts model --site resid_post.1 --text elsewhere/other.jsonl --ctx 16 --split all --tokens 100 --append --out named
expect "nor one of two files" 1 '"text" of "about" differs' \
    acts model --site resid_post.1 --text text.jsonl --text elsewhere/other.jsonl --ctx 16 --split all --tokens 100 --append --out named
check "the same text from another folder is" at --site resid_post.1 --text same.jsonl --tokens 100 --append --out ../named
expect "with the rows that follow" 0 "600 rows" acts model --site resid_post.1 $all --tokens 600 --out at_once
check "those of one go" cmp -s named/shard-00000.safetensors at_once/shard-00000.safetensors
check "a store of one site" at --site resid_post.1 --text ../text.jsonl --max-norm -1 --tokens 300 --out ../beside1
check "one of another, its text by another name" at --site mlp_out.0 --text same.jsonl --max-norm -1 --tokens 300 --out ../beside2
check "and one of another text" at --site mlp_out.0 --text other.jsonl --max-norm -1 --tokens 300 --out ../beside3
expect "the two are of the same tokens" 0 'w32-k4-r0-s0' \
    train --store beside1 --target-store beside2 --width 32 --k 4 --batch 32 --steps 3 --quiet --out beside
expect "the third is not" 1 'of different texts' \
    train --store beside1 --target-store beside3 --width 32 --k 4 --batch 32 --steps 3 --quiet --out beside_not
beside="--store beside1 --width 32 --k 4 --batch 32 --steps 3 --quiet"
# shellcheck disable=SC2086
{
    expect "a store's site by another of its names" 0 'w32-k4-r0-s0' train $beside --site resid_post.1 --out aliased
    expect "another site" 2 'the rows of beside1 are of blocks.1.hook_resid_post: leave --site away' train $beside --site resid_post.0 --out none
    expect "that one and another" 2 'of blocks.1.hook_resid_post alone' train $beside --site blocks.1.hook_resid_post,mlp_out.0 --out none
}
# Work that was broken off is gone on with from another folder, too.
call=60
while rm -rf broken.partial broken && (export SAE_FAIL_IO="$call:KILL" && at --site resid_post.1 --text same.jsonl --shard-rows 50 --tokens 300 --out ../broken) ||
    ! grep -q '"rows": 50' broken.partial/progress.json 2>/dev/null; do
    call=$((call + 5))
    [ $call -lt 400 ] || break
done
expect "work that was killed" 0 "300 rows" acts model --site resid_post.1 $all --shard-rows 50 --tokens 300 --out broken
check "is gone on with from another folder" grep -q 'going on with broken.partial' err
expect "more rows with special tokens" 0 "rows of blocks.1" \
    acts model --site resid_post.1 $all --keep-special --drop-positions 0 --max-norm -1 --dtype f32 --out special
check "noted" grep -q '"special": "kept"' special/meta.json
# Sequences that are there already, with a mask of the user's: 20 of the separator and 15 letters, which is what one text of 300 letters
# is cut into. A mask that leaves out the last ten is those sequences away; specials and first positions are left out as ever.
awk 'BEGIN { for (i = 0; i < 300; i++) printf "%s", substr("abcd", (i * i + int(i / 7)) % 4 + 1, 1) }' >letters.txt
id='function id(i) { return i % 16 ? ((i - int(i / 16) - 1) * (i - int(i / 16) - 1) + int((i - int(i / 16) - 1) / 7)) % 4 + 1 : 0 }'
numbers() { # FILE SEQUENCES TYPE BYTES EXPRESSION of i [TOKENS]
    header=$(printf "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" "$3" "$2" "${6:-16}")
    octal=$(awk -v n=$(($2 * ${6:-16})) "$id"' BEGIN { for (i = 0; i < n; i++) printf "\\%03o'"$4"'", '"$5"' }')
    # shellcheck disable=SC2059
    { printf '\223NUMPY\001\000v\000%-117s\n' "$header" && printf "$octal"; } >"$1"
}
numbers ids.npy 20 '<i4' '\\000\\000\\000' 'id(i)'
numbers ids10.npy 10 '<i4' '\\000\\000\\000' 'id(i)'
numbers mask.npy 20 '|b1' '' 'i < 160'
numbers odd.npy 20 '|u1' '' '(i % 2) * 7'
numbers short.npy 10 '|b1' '' '1'
expect "a text of letters" 0 "300 rows" acts model --site resid_post.1 --text letters.txt --ctx 16 --split all --out letters
expect "as sequences of ids" 0 "300 rows" acts model --site resid_post.1 --ids ids.npy --out given
check "they are the same rows" cmp -s letters/shard-00000.safetensors given/shard-00000.safetensors
expect "with a mask" 0 "150 rows" acts model --site resid_post.1 --ids ids.npy --mask mask.npy --out masked
expect "fewer sequences" 0 "150 rows" acts model --site resid_post.1 --ids ids10.npy --out given10
check "are what the mask leaves" cmp -s masked/shard-00000.safetensors given10/shard-00000.safetensors
check "noted" grep -q '"mask": "mask.npy"' masked/meta.json
expect "a mask of every other token" 0 "160 rows" acts model --site resid_post.1 --ids ids.npy --mask odd.npy --out odd
expect "and special tokens kept, which it leaves out" 0 "160 rows" \
    acts model --site resid_post.1 --ids ids.npy --mask odd.npy --keep-special --drop-positions 0 --out odd_special
expect "special tokens kept" 0 "320 rows" acts model --site resid_post.1 --ids ids.npy --keep-special --drop-positions 0 --max-norm -1 --out all_of_it
expect "some of it" 0 "70 rows" acts model --site resid_post.1 --ids ids.npy --mask odd.npy --tokens 70 --out odd70
expect "and the rest" 0 "160 rows" acts model --site resid_post.1 --ids ids.npy --mask odd.npy --append --out odd70
check "are all of it" cmp -s odd/shard-00000.safetensors odd70/shard-00000.safetensors
expect "another mask is not appended" 1 'text up to sequence' acts model --site resid_post.1 --ids ids.npy --mask mask.npy --append --out odd70
expect "none is not either" 1 '"mask" of "about" differs' acts model --site resid_post.1 --ids ids.npy --append --out odd70
numbers odd.npy 20 '|u1' '' '(i + 1) % 2'
expect "nor is the same one with other contents" 1 'text up to sequence' \
    acts model --site resid_post.1 --ids ids.npy --mask odd.npy --append --out odd70
expect "a mask of another shape" 1 'must be of their shape, found [10, 16]' acts model --site resid_post.1 --ids ids.npy --mask short.npy --out none
expect "a mask of numbers" 1 'must be bool or uint8' acts model --site resid_post.1 --ids ids.npy --mask ids.npy --out none
expect "a mask of a text" 2 '--mask goes with --ids' acts model --site resid_post.1 $all --mask mask.npy --out none
expect "a text beside ids" 2 '--text would do nothing' acts model --site resid_post.1 --ids ids.npy --text text.jsonl --out none
expect "a context beside ids" 2 '--ctx would do nothing' acts model --site resid_post.1 --ids ids.npy --ctx 16 --out none
numbers bad.npy 20 '<i4' '\\000\\000\\000' 'i == 254 ? 128 : id(i)'
expect "an id that the model lacks, behind the first batch" 1 'bad.npy: token id 128 at sequence 15, position 14: the model' \
    acts model --site resid_post.1 --ids bad.npy --out none
check "before any is run" sh -c '! grep -q "in order" err'
numbers bad.npy 20 '<i4' '\\377\\377\\377' '255'
expect "one below 0" 1 'bad.npy: token id -1 at sequence 0, position 0' acts model --site resid_post.1 --ids bad.npy --out none
numbers bad.npy 40 '<i4' '\\000\\000\\000' 1 1
expect "sequences of one token" 1 'bad.npy: 40 sequences of 1 tokens' acts model --site resid_post.1 --ids bad.npy --out none
numbers bad.npy 2 '<i4' '\\000\\000\\000' 1 65
expect "sequences over the model's context" 1 "bad.npy: sequences of 65 tokens; the model's context is 64" \
    acts model --site resid_post.1 --ids bad.npy --out none
check "which no --ctx would mend" sh -c '! grep -q -e "--ctx" err'
check "mistakes leave nothing here either" test ! -e none
check "no temporary is left" test -z "$(ls -d ./*.tmp.* ./*.partial 2>/dev/null)"
