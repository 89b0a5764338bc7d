#!/bin/sh
# test_sweep_folder.sh - what lies in a sweep's folder: what somebody put there is neither lost nor found in the way at the end, and what is
# damaged is told and made anew.
set -u
. ./tests/scratch.sh
make_rows() { # FILE ROWS COLUMNS: halves of both signs
    header=$(printf "{'descr': '<f2', 'fortran_order': False, 'shape': (%d, %d), }" "$2" "$3")
    awk -v n=$(($2 * $3)) 'BEGIN {
        srand(1)
        for (i = 0; i < n; i++) printf "\\%03o\\%03o", int(rand() * 256), 40 + int(rand() * 24) + (rand() < 0.5) * 128
    }' >octal
    # shellcheck disable=SC2059
    { printf '\223NUMPY\001\000v\000%-117s\n' "$header" && printf "$(cat octal)"; } >"$1"
}

make_rows x.npy 256 24
small="sweep --array x.npy --batch 32 --width 32 --k 3 --steps 6 --quiet"
s0=w32-k3-r0-s0 s1=w32-k3-r0-s1
# shellcheck disable=SC2086
run 0 "a sweep" $small --seed 0 --out whole
cp out whole.table

# ---- What is in the way ------------------------------------------------------------------------------------------------------
# Each is told before the first step, with the old results still there, and by the plan too.
# shellcheck disable=SC2086
{
    refused() { # NAME TEXT ARGUMENTS
        name=$1 text=$2
        shift 2
        (cd d && find . -type f -exec cksum {} + | sort) >before
        for plan in "" --plan; do
            run 1 "$name, $plan" "$@" --out d $plan
            grep -q "$text.*: move it elsewhere, or use another --out" err && (cd d && find . -type f -exec cksum {} + | sort) | cmp -s - before
            check "is told, and nothing is changed" $? "$(cat err)" "$(find d)"
        done
        rm -r d && cp -r whole d
    }
    cp -r whole d
    echo x >d/$s0/sae/foo.txt
    refused "a file among the exported ones" "d/$s0/sae/foo.txt is none of a run's files" $small --seed 0 --force
    echo x >d/groups/001/mine.txt
    refused "a file beside a group's" "d/groups/001/mine.txt is none of a run's files" $small --seed 0 --force
    echo x >d/groups/mine.txt
    refused "a file beside the groups" "d/groups/mine.txt is none of a run's files" $small --seed 0 --force
    mkdir -p d/groups/001/checkpoints/000000000004 && echo x >d/groups/001/checkpoints/000000000004/mine.txt
    refused "a file in a checkpoint" "000000000004/mine.txt is none of a run's files" $small --seed 0 --force
    mkdir d/$s1 && echo x >d/$s1/sae
    refused "a file where the export goes" "d/$s1/sae is a file" $small --seed 1
    echo x >d/$s1
    refused "a file where the dictionary goes" "d/$s1 is a file" $small --seed 1
    rm d/report.html && mkdir d/report.html
    refused "a folder where the page goes" "d/report.html is a folder" $small --seed 1
    # Of a group that is finished only the checkpoints go.
    mkdir -p d/groups/001/checkpoints/000000000004 && echo '{}' >d/groups/001/checkpoints/000000000004/state.json
    echo mine >d/groups/001/checkpoints/mine.txt
    run 0 "a finished group with a checkpoint" $small --seed 0 --out d
    [ "$(ls d/groups/001/checkpoints)" = mine.txt ]
    check "loses that and nothing else" $? "$(find d/groups)"
    echo x >d/mine.txt
    rm d/groups/001/checkpoints/mine.txt
    run 0 "what is in nobody's way" $small --seed 0 --out d --force
    [ "$(cat d/mine.txt)" = x ] && cmp -s out whole.table
    check "stays" $?
    rm -r d
}

# ---- Damage ------------------------------------------------------------------------------------------------------------------
# A group.json that does not list all that a checkpoint beside it holds would let the rest begin anew.
# shellcheck disable=SC2086
{
    cp -r whole d && rm d/$s0/result.json
    mkdir -p d/groups/001/checkpoints/000000000004 && echo '{"dicts": [{}, {}]}' >d/groups/001/checkpoints/000000000004/state.json
    cp d/groups/001/group.json group.json
    for text in '{}' '{"dictionaries": []}' '{"dictionaries": 3}' 1of2; do
        [ "$text" = 1of2 ] && cp group.json d/groups/001/group.json || echo "$text" >d/groups/001/group.json
        run 1 "a group that lists too few, $text" $small --seed 0 --out d
        grep -q "d/groups/001/group.json: lists [1n]o* .*dictionaries.*: it is damaged, .* remove the folder of that file .* or use another --out" err && [ ! -e d/groups/002 ]
        check "is told with what helps" $? "$(ls d/groups)"
    done
    rm -r d

    cp -r whole d
    for edit in s/\"measured\"/\"unmeasured\"/ s/\"recipe\"/\"then\"/ 's/"fvu": [0-9.]*/"fvu": "x"/' 's/"rows": [0-9]*/"rows": -5/' \
        's/"dead": /"died_out": /' 's/"l0"/"l1"/' 's/"last_step": {/"last_step": 3, "x": {/' 's/"name"/"diverged": 3, "name"/'; do
        sed "$edit" whole/$s0/result.json >d/$s0/result.json
        run 0 "a damaged result, $edit" $small --seed 0 --out d
        [ "$(grep -c "warning: d/$s0/result.json: .*: it is damaged, and $s0 is trained again" err)" -eq 1 ] && cmp -s out whole.table && cmp -s d/$s0/result.json whole/$s0/result.json
        check "is told, and made anew to the same" $? "$(cat out)"
    done
    flip() { printf '\177\177\177\177' | dd of=d/$s0/sae/sae_weights.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null; }
    flip
    run 0 "a byte of the weights that was changed" $small --seed 0 --out d
    grep -q "warning: d/$s0/sae is not what was measured .*: it is damaged, and $s0 is trained again" err && cmp -s d/$s0/sae/sae_weights.safetensors whole/$s0/sae/sae_weights.safetensors
    check "is told, and made anew to the same" $?
    flip
    run 0 "a command that does not name it" $small --seed 1 --out d
    grep -q "warning: d/$s0/sae is not what was measured .* is left out" err
    check "leaves it out" $?
    rm -r d && cp -r whole d
    grep -v '"weights_xxh3"' whole/$s0/result.json >d/$s0/result.json
    run 0 "a result of a version that noted no checksum" $small --seed 0 --out d
    ! grep -q warning err && cmp -s out whole.table && [ ! -e d/groups/002 ]
    check "is taken as it is" $?
    rm -r d
}

# ---- What is said at the end -------------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
{
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i4', 'fortran_order': False, 'shape': (8, 32), }" >order.npy
    head -c 1024 /dev/zero >>order.npy
    run 0 "an order of more steps than are taken" $small --order order.npy --out ordered
    grep -q '^note: measured on 16384 rows that were trained on: the last ones that the steps took of --order$' out &&
        grep -q 'took of --order (their fit flatters)' ordered/report.html
    check "is not said to have no other rows" $? "$(cat out)"
    diverging="sweep --array x.npy --batch 32 --quiet --arch standard --width 32 --steps 6"
    run 1 "all diverge" $diverging --l1-coefficient 1e38,2e38 --out all
    grep -q '2 of 2 dictionaries diverged .* stands in NAME/result.json$' err && ! grep -q '^note' out && grep -q 'Nothing was measured' all/report.html
    check "none is said to be finished, or measured" $? "$(cat out)"
    run 1 "one of two diverges" $diverging --l1-coefficient 0.1,1e38 --out one
    grep -q '1 of 2 dictionaries diverged .*; the others are finished' err && grep -q '^note: measured' out
    check "the other one is" $? "$(cat out)"
}
