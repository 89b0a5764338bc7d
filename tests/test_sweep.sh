#!/bin/sh
# test_sweep.sh - a sweep over architectures, each by its own constants, and over transcoders: what it trains is what `sae train` does
# alone, to the byte, whatever was killed in between.
set -u
. ./tests/letters.sh
. ./tests/scratch.sh
lines() { grep -vc '^note: ' out; } # of the table that was printed, without what is said below it
make_rows() { # FILE ROWS COLUMNS SEED: halves of both signs
    header=$(printf "{'descr': '<f2', 'fortran_order': False, 'shape': (%d, %d), }" "$2" "$3")
    awk -v n=$(($2 * $3)) -v seed="$4" 'BEGIN {
        srand(seed)
        for (i = 0; i < n; i++) printf "\\%03o\\%03o", int(rand() * 256), 40 + int(rand() * 24) + (rand() < 0.5) * 128
    }' >octal
    # shellcheck disable=SC2059
    { printf '\223NUMPY\001\000v\000%-117s\n' "$header" && printf "$(cat octal)"; } >"$1"
}
# Every dictionary of the folder $1 has the bytes of the one of its name in $2; there are $3 of them.
same_dictionaries() { # NAME FOLDER OTHER COUNT
    found=0
    for dict in "$2"/*/sae; do
        other=$3${dict#"$2"}
        cmp -s "$dict/sae_weights.safetensors" "$other/sae_weights.safetensors" && cmp -s "$dict/cfg.json" "$other/cfg.json" && found=$((found + 1))
    done
    check "$1" $((found != $4)) "$found of $4 are the same"
}

until_saved() { # FOLDER: there is a checkpoint in it
    tries=0
    while [ -z "$(find "$1" -name '*.safetensors' 2>/dev/null | head -n 1)" ] && [ $tries -lt 400 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}

make_rows x.npy 256 24 1
make_rows y.npy 256 20 2
rows="--array x.npy --batch 32 --quiet"
archs=batchtopk,jumprelu,standard,gated,topk,matryoshka

# ---- What a folder holds ------------------------------------------------------------------------------------------------------
# What was trained otherwise is not taken for what is asked now; a refused command leaves the folder as it was.
small="$rows --width 32 --k 3 --rank 2 --steps 6"
refused() { # NAME TEXT ARGUMENTS
    name=$1 text=$2
    shift 2
    cp kept/sweep.json before.json
    run 1 "$name" sweep "$@" --out kept
    grep -q "$text" err && cmp -s kept/sweep.json before.json
    check "it says why, and sweep.json stays" $?
}
# shellcheck disable=SC2086
{
    run 0 "a sweep to go on with" sweep $small --arch matryoshka,batchtopk --groups 8,32 --out kept
    refused "another start of the scaffold" 'another "scaffold_start"' $small --arch batchtopk --scaffold-start pca
    refused "another number of its steps" 'another "scaffold_steps"' $small --arch batchtopk --scaffold-steps 2
    refused "one in the last prefix" 'another "scaffold_last"' $small --arch matryoshka --groups 8,32 --scaffold-last
    refused "other prefixes" 'another "groups"' $small --arch matryoshka --groups 16,32
    refused "another form of export" 'another "export"' $small --arch batchtopk --scaffold latents
    refused "another rate" 'another "lr"' $small --arch batchtopk --lr 0.5
    run 0 "the same again" sweep $small --arch matryoshka,batchtopk --groups 8,32 --out kept
    rm -r kept/w32-k3-r2-s0/sae
    run 0 "a dictionary that was taken away" sweep $small --arch matryoshka,batchtopk --groups 8,32 --out kept
    [ -s kept/w32-k3-r2-s0/sae/cfg.json ]
    check "is trained again" $?
    rm -r kept/w32-k3-r2-s0/sae
    run 0 "while it is away, another command" sweep $small --arch matryoshka --groups 8,32 --seed 0,1 --out kept
    [ "$(lines)" -eq 3 ] && [ ! -e kept/w32-k3-r2-s0/sae ]
    check "has no need of it" $? "$(cat out)"
    for choice in "--scaffold-centre none" "--scaffold-lr 0.3" "--scaffold-start pca --scaffold-tie orthonormal" "--target-array y.npy"; do
        run 0 "a sweep with $choice" sweep $small $choice --out chosen
        run 1 "and without it" sweep $small --out chosen
        grep -q 'another\|differs' err && rm -r chosen
        check "is another" $?
    done
    mkdir model_run && echo '{}' >model_run/run.json
    run 0 "a sweep of p2" sweep $small --rank 0 --variant p2 --out variants
    run 0 "with p1 beside it" sweep $small --rank 0 --variant p1,p2 --out variants
    [ "$(lines)" -eq 4 ]
    check "has three dictionaries" $? "$(cat out)"
    find variants -type f -exec cksum {} + | sort >before
    run 0 "the plan of what is finished" sweep $small --rank 0 --variant p1,p2 --out variants --plan
    [ ! -s out ]
    check "is empty" $? "$(cat out)"
    run 0 "the plan to train it anew" sweep $small --variant p1,p2 --out variants --plan --force
    grep -q '^dictionaries  2, 6 steps' out
    check "has all of it" $? "$(cat out)"
    run 1 "the plan of a sweep of other rows" sweep --array y.npy --batch 32 --quiet --width 32 --k 3 --steps 6 --out variants --plan
    grep -q 'begun on other rows' err
    check "is refused as the sweep is" $?
    run 0 "the plan to train on them anew" sweep --array y.npy --batch 32 --quiet --width 32 --k 3 --steps 6 --out variants --plan --force
    run 1 "the plan in a folder of something else" sweep $small --out model_run --plan
    find variants -type f -exec cksum {} + | sort | cmp -s - before
    check "no plan changes anything" $?
    run 1 "--force with what does not fit" sweep $small --out variants --force --memory 1k
    [ -s variants/w32-k3-r2-s0/sae/cfg.json ] && [ -s variants/sweep.json ]
    check "removes nothing" $?
    for option in "" --force --resume; do
        run 1 "a run in a sweep's folder, $option" train $small --out variants $option
        grep -q 'variants holds a sweep, .* use another --out' err
        check "is told where it can go" $?
    done
    sed 's/"dictionary"/"then"/' variants/w32-k3-r2-s0/result.json >older && cp older variants/w32-k3-r2-s0/result.json
    run 1 "a result of an older version" sweep $small --out variants
    grep -q 'an older version of this program' err
    check "is told" $?
    printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i4', 'fortran_order': False, 'shape': (6, 32), }" >order6.npy
    head -c 768 /dev/zero >>order6.npy
    run 2 "a sweep in an order and in one by a seed" sweep $small --order order6.npy --data-seed 3 --out ordered6
    run 0 "a sweep in an order" sweep $small --order order6.npy --out ordered6
    run 1 "and without it" sweep $small --out ordered6
    grep -q 'order differs' err
    check "is one on other rows" $?
    run 2 "a weight that jumprelu's controller finds itself" train $rows --arch jumprelu --k 3 --width 32 --steps 6 --l1-coefficient 0.5 --out weighted
    grep -q 'finds its own' err
    check "it says so" $?
    run 0 "the plan of what does not fit at once" sweep $rows --width 2048 --k 3,4 --steps 6 --memory 12M --plan
    [ "$(grep -c '^group . of 2' out)" -eq 2 ]
    check "has a part for each group" $? "$(cat out err)"
    # The two of a group are told by one line, and by the plan the same: memory is that of training, of the batch and of measuring.
    told=$(sed -n 's/^memory *\([0-9]*\) MiB: .*measuring at the end.*/\1/p' out | head -n 1)
    "$sae" sweep --array x.npy --batch 32 --width 2048 --k 3,4 --steps 6 --memory 12M --out in_groups >out 2>err </dev/null
    lines=$(grep -c "^group .*: $told MiB\$" err)
    [ -n "$told" ] && [ "$lines" -eq 2 ]
    check "tells of each what the run does" $? "$told" "$(cat out err)"
    # Of processor time 1.3 s, however many groups there are; 8 s where each of seven is calibrated.
    (OMP_NUM_THREADS=1 && ulimit -t 5 && "$sae" sweep --array x.npy --batch 256 --width 2048 --k 3 --steps 6 --memory 20M --seed "$(seq -s, 0 39)" --plan >out 2>err </dev/null)
    groups=$(sed -n 's/^group 1 of \([0-9]*\): .*/\1/p' out)
    [ "${groups:-0}" -ge 4 ] && [ "$(grep -c "^group .* of $groups: " out)" -eq "$groups" ]
    check "the plan of many groups" $? "$(cat out)"
    # Of processor time 3 s, of it two for the calibration; 53 s where each is placed by a plan of all that are placed before it.
    (ulimit -t 15 && "$sae" sweep $rows --width 32 --k 3 --steps 6 --seed "$(seq -s, 0 3999)" --plan >out 2>err </dev/null)
    grep -q '^dictionaries  4000, 6 steps' out
    check "the plan of 4,000 dictionaries" $? "$(cat out)"
    run 2 "a coefficient twice" sweep $rows --arch standard --width 32 --l1-coefficient 0.1,0.10 --steps 6 --out twice
    run 0 "coefficients that differ in the seventh digit" sweep $rows --arch standard --width 32 --l1-coefficient 0.1234561,0.1234562 --steps 6 --out close
    [ -d close/standard-w32-l0.1234561-r0-s0/sae ] && [ -d close/standard-w32-l0.1234562-r0-s0/sae ]
    check "are two dictionaries" $?
}

# All that stands in the folder is in the table, and is of one recipe and length: what would not be is refused.
# shellcheck disable=SC2086
{
    added="$rows --width 32 --k 3 --steps 6"
    stands() { # NAME LINES: of the table and of results.json, which say the same
        [ "$(lines)" -eq $(($2 + 1)) ] && [ "$(grep -c '"measured"' grown/results.json)" -eq "$2" ] &&
            [ "$(grep -v '^note: ' out | tail -n +2 | sed 's/ .*//' | sort)" = "$(ls -d grown/*-s*/ | sed 's|grown/||; s|/$||' | sort)" ]
        check "$1" $? "$(cat out)"
    }
    refuses() { # NAME KEY ARGUMENTS
        cp grown/sweep.json before.json
        cp grown/results.json results.json
        name=$1 key=$2
        shift 2
        run 1 "$name" sweep "$@" --out grown
        grep -q "\"$key\" .* or another --out" err && cmp -s grown/sweep.json before.json && cmp -s grown/results.json results.json
        check "is refused, and nothing is changed" $? "$(cat err)"
        ! grep -q -e --force err
        check "with no advice that would remove what stands there" $? "$(cat err)"
    }
    run 0 "a sweep to add to" sweep $added --seed 1,2 --rank 0,2 --scaffold-start pca --scaffold-lr 0.5 --out grown
    refuses "one more at another rate" lr $added --lr 0.01 --seed 4
    refuses "one more of more steps" steps $rows --width 32 --k 3 --steps 9 --seed 7
    refuses "another architecture by another recipe" lr $added --arch topk --recipe saelens
    run 1 "and its plan" sweep $added --lr 0.01 --seed 4 --out grown --plan
    run 0 "one more" sweep $added --seed 4 --out grown
    stands "the table has all" 5
    [ "$(sed -n '2s/ .*//p' out)" = w32-k3-r0-s4 ] && [ "$(grep -c '"name": ' grown/sweep.json)" -eq 5 ]
    check "its own first, and so has sweep.json" $?
    run 0 "a repeat that names fewer" sweep $added --seed 1 --out grown
    stands "has the same table" 5
    run 0 "an architecture with a constant of its own" sweep $added --arch jumprelu --l0-rate 0.5 --out grown
    stands "is added" 6
    grep -q '>jumprelu<' grown/report.html && grep -q '>batchtopk<' grown/report.html
    check "the page has both" $?
    run 0 "and what was there again" sweep $added --seed 2 --out grown
    stands "is taken with it" 6
    mkdir grown/own && echo mine >grown/own/result.json
    run 0 "beside a result of somebody's own" sweep $added --seed 2 --out grown
    [ "$(lines)" -eq 7 ] && [ "$(cat grown/own/result.json)" = mine ]
    check "has what it had" $? "$(cat out)"
    run 0 "the plan of --force" sweep $added --lr 0.01 --seed 4 --out grown --force --plan
    ! grep -q 'removes' err
    check "removes nothing and says nothing" $? "$(cat err)"
    run 0 "all anew at another rate" sweep $added --lr 0.01 --seed 4 --out grown --force
    grep -q 'warning: --force removes 5 finished dictionaries of grown that this command does not name' err
    check "says what that removes" $? "$(cat err)"
    stands "by force, is alone" 1
    run 0 "the same by force" sweep $added --lr 0.01 --seed 4 --out grown --force
    ! grep -q warning err
    check "removes nothing else" $? "$(cat err)"
}

# What no name tells is the same in all of a table: the scaffold's start and rates, its form of export, a skip path, prefixes.
# shellcheck disable=SC2086
{
    plain="$rows --k 3 --steps 6"
    mixes() { # NAME FOLDER KEY WAS IS ARGUMENTS
        name=$1 folder=$2 text="trained with \"$3\" $4, where this command has $5[ ;]"
        shift 5
        cp $folder/sweep.json before.json
        run 1 "$name" sweep $plain "$@" --out $folder
        grep -q "$text" err && cmp -s $folder/sweep.json before.json && [ "$(find $folder -name result.json | wc -l)" -eq "$(grep -c '"measured"' $folder/results.json)" ]
        check "is refused, with both values" $? "$(cat err)"
    }
    kind="--width 32 --scaffold-start random-both"
    run 0 "scaffolds of one kind" sweep $plain $kind --rank 0,2 --out kinds
    mixes "one of another start" kinds scaffold_start '"random-both"' '"pca"' --width 32 --rank 4 --scaffold-start pca
    mixes "one of another rate" kinds scaffold_lr 1.0 30.0 $kind --rank 0,4 --scaffold-lr 30
    mixes "one that is trained in stages" kinds scaffold_steps 0 3 $kind --rank 4 --scaffold-steps 3
    mixes "one that is held still" kinds scaffold_frozen false true $kind --rank 4 --scaffold-freeze
    mixes "one of another centre" kinds scaffold_centre '"b_dec"' '"own"' $kind --rank 4 --scaffold-centre own
    mixes "one that is tied" kinds scaffold_tie '"none"' '"transpose"' $kind --rank 4 --scaffold-tie transpose
    mixes "one that is dropped" kinds export '"native"' '"drop"' $kind --rank 4 --scaffold drop
    run 0 "scaffolds that begin at zero" sweep $plain --width 32 --rank 2 --out zeros
    mixes "one that begins elsewhere" zeros scaffold_start '"random"' '"pca" (--scaffold-start; what that calls zero is "random" in records)' \
        --width 32 --rank 4 --scaffold-start pca
    run 0 "one more of its kind" sweep $plain $kind --rank 4 --out kinds
    run 0 "one without a scaffold" sweep $plain --width 32 --rank 0 --seed 1 --out kinds
    [ "$(lines)" -eq 5 ]
    check "are in its table" $? "$(cat out)"
    run 0 "transcoders without a skip path" sweep $plain --width 32 --target-array y.npy --out paths
    mixes "one with it" paths skip false true --width 32 --target-array y.npy --seed 1 --skip
    run 0 "two prefixes" sweep $plain --width 32 --arch matryoshka --groups 0.3,0.7 --rank 2 --out nested
    mixes "others of that width" nested groups '\[9,23\]' '\[10,22\]' --width 32 --arch matryoshka --groups 10,32 --rank 2 --seed 1
    mixes "more of another width" nested groups '\[9,23\]' '\[12,12,24\]' --width 48,64 --arch matryoshka --groups 0.25,0.25,0.5 --rank 2
    mixes "a scaffold of the last" nested scaffold_last false true --width 32 --arch matryoshka --groups 0.3,0.7 --rank 4 --scaffold-last
    run 0 "the same shares of other widths" sweep $plain --width 47,64 --arch matryoshka --groups 0.3,0.7 --rank 2 --out nested
    run 0 "beside one without prefixes" sweep $plain --width 32 --rank 2 --out nested
    [ "$(lines)" -eq 5 ]
    check "are in one table" $? "$(cat out)"
}

# A damaged result stops no command: its dictionary counts as not finished.
# shellcheck disable=SC2086
{
    harmed="$rows --width 32 --k 3 --steps 6"
    run 0 "a sweep to be damaged" sweep $harmed --seed 0,1 --out harmed
    grep -v '^note: ' out >harmed.table
    cp harmed/w32-k3-r0-s1/result.json result.json
    head -c 100 result.json >harmed/w32-k3-r0-s1/result.json
    run 0 "a command that does not name the damaged one" sweep $harmed --seed 2 --out harmed
    grep -q 'warning: harmed/w32-k3-r0-s1/result.json.* is left out: a command that names it trains it again' err && [ "$(lines)" -eq 3 ]
    check "leaves it out and says so" $? "$(cat out)"
    run 0 "one that names it" sweep $harmed --seed 0,1 --out harmed
    [ "$(grep -c 'warning: harmed/w32-k3-r0-s1/result.json.* is trained again' err)" -eq 1 ] && cmp -s harmed/w32-k3-r0-s1/result.json result.json && [ "$(head -n 3 out)" = "$(cat harmed.table)" ]
    check "trains it again, to the same" $? "$(cat out)"
    run 0 "and once more" sweep $harmed --seed 0,1 --out harmed
    ! grep -q warning err && [ "$(lines)" -eq 4 ]
    check "has nothing to say" $? "$(cat out)"
    cp -r harmed ungrouped && rm -r ungrouped/groups
    for folder in harmed ungrouped; do
        head -c 100 result.json >$folder/w32-k3-r0-s1/result.json
        cp -r $folder forced
        run 0 "another one, in $folder" sweep $harmed --seed 3 --out $folder
        [ "$(grep -c "warning: $folder/w32-k3-r0-s1/result.json.* is left out: a command that names it trains it again" err)" -eq 1 ] && [ "$(lines)" -eq 4 ]
        check "tells the damaged one once" $? "$(cat out)"
        run 0 "all of it anew by force" sweep $harmed --seed 0 --out forced --force
        grep -q 'warning: --force removes 1 finished dictionary of forced that this command does not name$' err &&
            grep -q 'warning: --force removes 1 dictionary of forced that this command does not name and .* result.json is damaged: w32-k3-r0-s1$' err
        check "tells the damaged one, too" $? "$(ls forced)"
        rm -r forced
    done
    sed 's/"measured"/"unmeasured"/' result.json >harmed/w32-k3-r0-s1/result.json
    run 0 "a result without what was measured" sweep $harmed --seed 0,1 --out harmed
    grep -q 'warning: harmed/w32-k3-r0-s1/result.json.* is trained again' err && cmp -s harmed/w32-k3-r0-s1/result.json result.json && ! grep -q undefined out harmed/report.html
    check "is damaged, too" $? "$(cat out)"
}

# ---- Damage ------------------------------------------------------------------------------------------------------------------
# So does a damaged export, and a group's damaged file stops none that has nothing to go on with; the others say what helps.
# shellcheck disable=SC2086
{
    spoilt="$rows --width 32 --k 3 --steps 6"
    run 0 "another sweep to be damaged" sweep $spoilt --seed 0,1 --out spoilt
    cp out spoilt.table
    cp -r spoilt whole_one
    one=w32-k3-r0-s1
    spoil() { # FILE: of the dictionary
        case $1 in
        short) truncate -s 1000 spoilt/$one/sae/sae_weights.safetensors ;;
        empty) : >spoilt/$one/sae/sae_weights.safetensors ;;
        other) cp whole_one/w32-k3-r0-s1/sae/cfg.json spoilt/$one/sae/sae_weights.safetensors ;;
        cfg) echo '{}' >spoilt/$one/sae/cfg.json ;;
        wider) sed 's/"d_sae": 32/"d_sae": 33/' whole_one/$one/sae/cfg.json >spoilt/$one/sae/cfg.json ;;
        esac
    }
    for how in short empty other cfg wider; do
        spoil $how
        run 0 "a damaged export, $how" sweep $spoilt --seed 0,1 --out spoilt
        [ "$(grep -c "warning: spoilt/$one/sae is no whole dictionary (.*): it is damaged, and $one is trained again" err)" -eq 1 ] && cmp -s out spoilt.table
        check "is told" $?
        same_dictionaries "and trained again, to the same" spoilt whole_one 2
    done
    spoil short
    run 0 "a command that does not name it" sweep $spoilt --seed 0 --out spoilt
    grep -q "warning: spoilt/$one/sae is no whole dictionary .* is left out: a command that names it trains it again" err && [ "$(lines)" -eq 2 ]
    check "leaves it out" $? "$(cat out)"
    for text in '[]' '{}' '{"name": 3}'; do
        echo "$text" >spoilt/$one/result.json
        run 0 "a result that is $text" sweep $spoilt --seed 0,1 --out spoilt
        grep -q "warning: spoilt/$one/result.json: names no dictionary: it is damaged, and $one is trained again" err && cmp -s out spoilt.table
        check "is told, too" $?
    done
    head -c 40 whole_one/groups/001/group.json >spoilt/groups/001/group.json
    run 0 "a damaged group.json of a finished group" sweep $spoilt --seed 0,1,2 --out spoilt
    [ "$(grep -c 'warning: spoilt/groups/001/group.json: not valid JSON.*: it is damaged and passed over' err)" -eq 1 ] && [ "$(lines)" -eq 4 ] && [ -s spoilt/groups/002/group.json ]
    check "is passed over, and its number is taken" $? "$(ls spoilt/groups)"
    mkdir -p spoilt/groups/001/checkpoints/000000000004
    for text in '{"dictionaries": [' '[]'; do
        echo "$text" >spoilt/groups/001/group.json
        run 1 "one beside a checkpoint, $text" sweep $spoilt --seed 3 --out spoilt
        grep -q 'spoilt/groups/001/group.json: .*: it is damaged, .* remove the folder of that file .* or use another --out' err && [ -d spoilt/groups/001/checkpoints ]
        check "is told with what helps" $?
    done
    rm -r spoilt/groups/001
    run 0 "without its folder" sweep $spoilt --seed 3 --out spoilt
    for text in '{' '{}' '[]'; do
        echo "$text" >spoilt/sweep.json
        run 1 "a sweep.json that is $text" sweep $spoilt --seed 0,1 --out spoilt
        grep -q 'spoilt/sweep.json: .*: it is damaged, .* use --force to begin anew .* or another --out' err && [ -s spoilt/$one/result.json ]
        check "is told with what helps" $?
    done
    cp -r spoilt lost && rm lost/sweep.json
    for force in "" --force; do
        run 1 "without a sweep.json, $force" sweep $spoilt --seed 0,1 --out lost $force
        grep -q 'lost holds groups but no sweep.json: .* use another --out, or, .* remove the folder' err && [ -s lost/$one/result.json ]
        check "is told with what helps" $?
    done
    run 0 "all of it by force" sweep $spoilt --seed 0,1 --out spoilt --force
    run 1 "what does not fit" sweep $spoilt --width 4096 --memory 1M --out em
    [ ! -e em ] && ! grep -q 'sweep.json' err
    check "leaves no folder" $?
    run 1 "nor in a folder" sweep $spoilt --width 4096 --memory 1M --out em/pty
    [ ! -e em ]
    check "leaves any" $?
}

# ---- Forms -------------------------------------------------------------------------------------------------------------------
# What is reported is of what was saved: 2r latents more, of which r are active, or no scaffold.
# shellcheck disable=SC2086
{
    for how in native latents drop; do
        run 0 "a sweep whose scaffold is saved as $how" sweep $rows --width 32 --k 3 --rank 2 --steps 200 --scaffold $how --out as_$how
        sed -n 2p out >>forms
    done
    awk '/^w32/ { l0[++n] = $2; fvu[n] = $3 } END { exit !(l0[2] - l0[1] > 1.99 && l0[2] - l0[1] < 2.01 && l0[3] == l0[1] && fvu[2] == fvu[1] && fvu[3] > fvu[1] + 0.02) }' forms
    check "are told as they are" $? "$(cat forms)"
    # What does nothing to a dictionary makes no more of it: jumprelu's controller finds its own coefficient.
    run 0 "coefficients of gated beside jumprelu" sweep $rows --arch gated,jumprelu --width 32 --steps 6 --k 3 --l1-coefficient 0.05,0.1,0.2 --out beside
    [ "$(grep -c '^gated' out)" -eq 3 ] && [ "$(grep -c '^jumprelu-w32-k3-r0-s0 ' out)" -eq 1 ] && [ "$(lines)" -eq 5 ]
    check "make one jumprelu" $? "$(cat out)"
    run 0 "of one that takes them" sweep $rows --arch jumprelu --l0 quadratic --width 32 --steps 6 --k 3 --l1-coefficient 0.05,0.1 --out taken
    [ "$(grep -c '^jumprelu-w32-k3-l0' out)" -eq 2 ]
    check "each makes one" $? "$(cat out)"
    grep -q '>l0.05<' taken/report.html && grep -q '>l0.1<' taken/report.html
    check "and the page tells them apart" $?
    # A k that does nothing names nothing.
    run 0 "coefficients without a k" sweep $rows --arch jumprelu,gated --recipe saelens --width 32 --steps 6 --l1-coefficient 0.05,0.1 --out no_k
    [ "$(grep -c '^jumprelu-w32-l0.[015]*-r0-s0 ' out)" -eq 2 ] && grep -q 'gated, l0.1' no_k/report.html && ! grep -q 'k64' no_k/report.html
    check "are told by what differs" $? "$(cat out)"
    # 16,000 of 32,768 latents are active: 2,048 rows of such codes are over 260 MB, and the plan is of 103.
    (OMP_NUM_THREADS=1 && ulimit -v 660000 && "$sae" sweep $rows --arch standard --width 32768 --l1-coefficient 0 --steps 1 --out many >out 2>err </dev/null)
    check "measuring what is not sparse takes no more than was planned" $?
    # Of processor time 3 s, and 10 s where the log is read for each dictionary.
    (OMP_NUM_THREADS=1 && ulimit -t 6 && "$sae" sweep $rows --width 16 --k 3 --steps 400 --log-every 1 --seed "$(seq -s, 0 59)" --out logged >out 2>err </dev/null)
    [ "$(lines)" -eq 61 ] && ! grep -q undefined out
    check "many lines of a log are read once" $? "$(tail -n 3 out)"
}

# A folder in which another process is at work is not touched, by --force neither.
# shellcheck disable=SC2086
for command in train sweep; do
    env --default-signal=INT "$sae" $command $rows --width 64 --k 3 --steps 1000000 --checkpoint-every 50 --out busy_$command >out 2>err </dev/null &
    pid=$!
    until_saved busy_$command
    record=busy_$command/run.json
    [ $command = sweep ] && record=busy_$command/sweep.json
    cp $record before.json
    "$sae" $command $rows --width 64 --k 4 --steps 10 --out busy_$command --force >out 2>err </dev/null
    code=$?
    grep -q 'another process' err && [ $code -eq 1 ] && cmp -s $record before.json &&
        [ -n "$(find busy_$command -name '*.safetensors' | head -n 1)" ]
    check "$command --force into a folder at work is refused" $? "exit code $code" "$(find busy_$command)"
    kill -s INT $pid
    wait $pid
done
# shellcheck disable=SC2086
{
    env --default-signal=INT "$sae" sweep $rows --width 32 --k 3,4 --steps 1000000 --checkpoint-every 50 --out turned >out 2>err </dev/null &
    pid=$!
    until_saved turned
    kill -s INT $pid
    wait $pid
    cp turned/sweep.json before.json
    run 1 "a begun group in another order" sweep $rows --width 32 --k 4,3 --steps 1000000 --checkpoint-every 50 --out turned
    grep -q 'in another order' err && cmp -s turned/sweep.json before.json
    check "is refused, and sweep.json stays" $?
    run 1 "a part of a begun group" sweep $rows --width 32 --k 4 --steps 1000000 --out turned
    grep -q 'group.json: w32-k3-r0-s0 was begun together with what is asked for' err && cmp -s turned/sweep.json before.json
    check "is refused, and told what is missing" $?
    run 0 "what has nothing to do with it" sweep $rows --width 32 --k 5 --steps 6 --out turned
    [ -n "$(find turned/groups/001 -name '*.safetensors')" ]
    check "leaves its checkpoints" $?
    cp -r turned turned_anew
    run 0 "all anew by force" sweep $rows --width 32 --k 3 --steps 6 --out turned_anew --force
    grep -q 'warning: --force removes 1 dictionary of turned_anew .* is not finished .*: w32-k4-r0-s0$' err &&
        grep -q 'warning: --force removes 1 finished dictionary of turned_anew' err
    check "tells what was begun" $?
    echo '{}' >turned/groups/001/group.json
    run 1 "and a group whose members are not known" sweep $rows --width 32 --k 6 --steps 6 --out turned
    grep -q 'group.json: lists no dictionaries: it is damaged, and it alone says which dictionaries go on' err
    check "is told, since one that is asked for may be among them" $?
    [ -n "$(find turned/groups/001 -name '*.safetensors')" ]
    check "keeps its checkpoints" $?

    # Ctrl-C after the last step, while dictionaries are measured.
    env --default-signal=INT "$sae" sweep $rows --width 32768 --k 3,4,5,6 --steps 2 --out measured >out 2>err </dev/null &
    pid=$!
    tries=0
    while [ ! -e measured/w32768-k3-r0-s0/result.json ] && [ $tries -lt 1000 ]; do
        sleep 0.01
        tries=$((tries + 1))
    done
    kill -s INT $pid
    wait $pid
    code=$?
    [ $code -eq 1 ] && grep -q 'stopped on request before .* was measured' err
    check "Ctrl-C is heard while a sweep measures" $? "exit code $code"
    run 0 "the same again" sweep $rows --width 32768 --k 3,4,5,6 --steps 2 --out measured
    [ "$(lines)" -eq 5 ] && [ ! -e measured/groups/001/checkpoints ]
    check "measures the rest" $? "$(cat out)"
}

# ---- Architectures -----------------------------------------------------------------------------------------------------------
# The literal recipe has other constants for each of jumprelu, standard and gated; the others share theirs but for the learning rate,
# which falls with the width.
sizes="--k 3 --recipe dictionary_learning --width 32,48 --steps 300 --log-every 5"
# shellcheck disable=SC2086
{
    run 2 "train of architectures with different constants is refused" train $rows $sizes --arch $archs --out x
    grep -q 'lr for w48-k3-r0-s0' err && grep -q 'sae sweep' err
    check "it names the constant and points to sweep" $?
    run 0 "a sweep over all architectures" sweep $rows $sizes --arch $archs --out calm
    cp out calm.table
    [ "$(lines)" -eq 13 ] && [ "$(ls calm/groups | wc -l)" -eq 5 ]
    check "it has a line for each of 12, of 5 recipes" $? "$(cat out)" "$(ls calm/groups)"
    run 0 "info of a sweep of several recipes" info calm
    grep -q 'training *300 steps of 32 rows' out
    check "says how long it is" $? "$(cat out)"
    for arch in $(echo $archs | tr , ' '); do
        k="--k 3"
        case $arch in standard | gated) k= ;; esac
        for width in 32 48; do
            run 0 "$arch alone, width $width" train $rows $k --recipe dictionary_learning --width $width --steps 300 --arch "$arch" --out one
            name=$(sed -n '2s/ .*//p' out)
            mkdir -p "alone/$name" && mv one/sae "alone/$name/sae" && rm -r one
        done
    done
    same_dictionaries "each equals the one that train makes alone" calm alone 12
    grep -q 'rows that were trained on, since the input has no others' calm/report.html && ! grep -q 'rows that follow' calm/report.html
    check "its page says that it was measured on trained rows" $?
    for arch in $(echo $archs | tr , ' '); do
        grep -q "$arch" calm/report.html
        check "the page shows $arch" $?
    done

    "$sae" sweep $rows $sizes --arch $archs --out shaken >out 2>err </dev/null &
    pid=$!
    tries=0
    while [ "$(cat shaken/groups/003/log.jsonl 2>/dev/null | wc -l)" -lt 8 ] && [ $tries -lt 1200 ]; do
        sleep 0.02
        tries=$((tries + 1))
    done
    kill -KILL $pid
    wait $pid
    [ -f shaken/groups/003/group.json ] && [ ! -f shaken/results.json ]
    check "the sweep was killed in its third group" $?
    touch -d '2001-01-01' shaken/*/result.json
    stamps=$(stat -c %Y shaken/*/result.json)
    run 0 "begun again" sweep $rows $sizes --arch $archs --out shaken
    cmp -s out calm.table
    check "it ends on the same table" $?
    same_dictionaries "and on the same dictionaries" shaken calm 12
    [ "$(stat -c %Y shaken/*/result.json | grep -c "^$(echo "$stamps" | head -n 1)\$")" -eq "$(echo "$stamps" | wc -l)" ]
    check "finished groups were passed over" $?

    # Killed at one system call after the other, in training, between training and measuring, and while results are written.
    small="$rows --arch topk --width 32 --k 3,4 --steps 12 --checkpoint-every 4"
    run 0 "a small sweep" sweep $small --out small
    cp out small.table
    call=20 cut=0 wrong=0
    while [ "$cut" -lt 200 ] && rm -rf cut && ! SAE_FAIL_IO="$call:KILL" "$sae" sweep $small --out cut >out 2>err </dev/null; do
        "$sae" sweep $small --out cut >out 2>err </dev/null && cmp -s out small.table || wrong=$((wrong + 1))
        call=$((call + 6)) cut=$((cut + 1))
    done
    [ "$cut" -ge 10 ] && [ "$wrong" -eq 0 ]
    check "killed at any call and begun again, it ends on the same table" $? "$wrong of $cut differ"
    # A folder that cannot be read is not one without a checkpoint: no fault begins a group anew (its first time stays).
    call=40
    while SAE_FAIL_IO="$call:KILL" "$sae" sweep $small --out begun >out 2>err </dev/null || [ ! -d begun/groups/001/checkpoints/000000000004 ]; do
        rm -rf begun
        call=$((call + 4))
        [ "$call" -lt 1000 ] || break
    done
    first=$(head -n 1 begun/groups/001/time.jsonl)
    call=1 anew=0 failed=0
    while [ "$call" -lt 200 ] && rm -rf cut && cp -r begun cut; do
        SAE_FAIL_IO="$call:EIO" "$sae" sweep $small --out cut >out 2>err </dev/null || failed=$((failed + 1))
        [ "$(head -n 1 cut/groups/001/time.jsonl)" = "$first" ] || anew=$((anew + 1))
        call=$((call + 1))
    done
    [ -n "$first" ] && [ "$failed" -ge 40 ] && [ "$anew" -eq 0 ]
    check "after no failing call a group is begun anew" $? "$anew of $failed"
    # What a dictionary without a scaffold does not have makes it no other: it is gone on with beside one that has.
    alone="$rows --arch topk --width 32 --k 3 --steps 12 --checkpoint-every 4"
    call=40
    while SAE_FAIL_IO="$call:KILL" "$sae" sweep $alone --rank 0 --out wider >out 2>err </dev/null || [ ! -d wider/groups/001/checkpoints/000000000004 ]; do
        rm -rf wider
        call=$((call + 4))
        [ "$call" -lt 1000 ] || break
    done
    run 0 "a killed sweep with a scaffold beside it" sweep $alone --rank 0,2 --variant p3 --scaffold-start pca --scaffold-steps 2 --scaffold-centre own --scaffold-lr 0.5 --out wider
    [ -s wider/topk-w32-k3-r0-s0/sae/cfg.json ] && cmp -s wider/topk-w32-k3-r0-s0/sae/sae_weights.safetensors small/topk-w32-k3-r0-s0/sae/sae_weights.safetensors
    check "ends on the same bytes" $?
    # Another sweep in its place: what it does not make goes, and nothing that was put there.
    cp -r small replaced
    mkdir -p replaced/own replaced/topk-w32-k9-r0-s0 && echo mine | tee replaced/own/result.json >replaced/topk-w32-k3-r0-s0/mine
    echo '{"name": "topk-w32-k8-r0-s0"}' >replaced/topk-w32-k9-r0-s0/result.json
    run 0 "one more dictionary" sweep $small --k 5 --out replaced
    rm replaced/topk-w32-k5-r0-s0/result.json # as if it had been killed before
    run 0 "another sweep by force" sweep $rows --arch topk --width 32 --steps 12 --k 6,9 --out replaced --force
    found=$(cd replaced && find . -name cfg.json -o -name result.json -o -name mine | sort | tr '\n' ' ')
    [ "$found" = "./own/result.json ./topk-w32-k3-r0-s0/mine ./topk-w32-k6-r0-s0/result.json ./topk-w32-k6-r0-s0/sae/cfg.json ./topk-w32-k9-r0-s0/result.json ./topk-w32-k9-r0-s0/sae/cfg.json " ]
    check "leaves what it made and what somebody put there" $? "$found"
    [ "$(ls -d replaced/topk* | wc -l)" -eq 3 ]
    check "and no empty folders" $? "$(ls -d replaced/topk*)"
    # Killed while --force clears what two commands made; the first one's dictionaries are known by their results alone.
    one="$rows --arch topk --width 32 --steps 12 --checkpoint-every 4"
    run 0 "a command for one more" sweep $one --k 5 --out small
    call=1 cut=0 wrong=0
    while [ "$cut" -lt 60 ] && rm -rf forced && cp -r small forced &&
        ! SAE_FAIL_IO="$call:KILL" "$sae" sweep $one --k 6 --out forced --force >out 2>err </dev/null; do
        "$sae" sweep $one --k 6 --out forced --force >out 2>err </dev/null || wrong=$((wrong + 1))
        [ "$(cd forced && find . -name '*.safetensors')" = ./topk-w32-k6-r0-s0/sae/sae_weights.safetensors ] || wrong=$((wrong + 1))
        call=$((call + 1)) cut=$((cut + 1))
    done
    [ "$cut" -ge 40 ] && [ "$wrong" -eq 0 ]
    check "killed at any call of --force and forced again, nothing of the old ones is left" $? "$wrong of $cut differ"
    run 1 "another constant for what is finished" sweep $rows $sizes --arch topk,gated --out calm --lr 0.5
    grep -q 'topk-w32-k3-r0-s0 was begun with another "lr"' err
    check "it says of which" $?
    run 0 "the plan of several recipes" sweep $rows $sizes --arch topk,gated --plan --json --out planned
    [ "$(grep -c '"encoder_per_step"' out)" -eq 3 ] && [ ! -e planned ]
    check "it has a part for each" $?
}

# ---- A text from a pipe ------------------------------------------------------------------------------------------------------
# Nobody knows it before, and it can be read once: what was read is compared with what the finished dictionaries were trained on.
letters_model tiny
letters_text 1 >letters.jsonl
sed 's/a/b/' letters.jsonl >other_letters.jsonl
piped="sweep --model tiny --text - --site resid_post.0 --steps 12 --buffer 256 --width 64 --k 4 --batch 64 --ctx 32 --checkpoint-every 4 --quiet"
from() { # FILE CODE NAME ARGUMENTS of sae
    text=$1 wanted=$2 name=$3
    shift 3
    "$sae" "$@" <"$text" >out 2>err
    code=$?
    check "$name" $((code != wanted)) "exit code $code"
}
# shellcheck disable=SC2086
{
    from letters.jsonl 0 "a sweep of a text from a pipe" $piped --seed 0,1 --out piped
    from other_letters.jsonl 1 "one more, of another text" $piped --seed 2 --out piped
    grep -q 'piped/groups/002: the finished dictionaries of this sweep were trained and measured on another text' err && [ ! -e piped/w64-k4-r0-s2/result.json ]
    check "is refused" $?
    from letters.jsonl 1 "gone on with, of the first text" $piped --seed 2 --out piped
    grep -q 'not the one that was read before' err && [ ! -e piped/w64-k4-r0-s2/result.json ]
    check "is not measured on what it was not trained on" $?
    rm -r piped/groups/002
    sed '90,$s/a/b/' letters.jsonl >later_letters.jsonl # behind the rows of training
    from later_letters.jsonl 1 "one more, of a text that is another where it measures" $piped --seed 2 --out piped
    grep -q 'trained and measured on another text' err && [ ! -e piped/w64-k4-r0-s2/result.json ]
    check "is refused" $?
    rm -r piped/groups/002
    from letters.jsonl 0 "begun anew of the first text" $piped --seed 2 --out piped
    [ "$(lines)" -eq 4 ]
    check "is in the table" $? "$(cat out)"
    from letters.jsonl 0 "all three at once" $piped --seed 0,1,2 --out piped_whole
    cmp -s piped/w64-k4-r0-s2/result.json piped_whole/w64-k4-r0-s2/result.json
    check "measure the same" $?
    # More than one pass would find the pipe empty.
    for force in "" --force; do
        from letters.jsonl 1 "two recipes from a pipe, $force" $piped --recipe dictionary_learning --arch topk,gated --out piped $force
        grep -q '2 groups, .* only once: .* a .txt or .jsonl file .* one recipe at a time' err && [ ! -e piped/groups/003 ] && [ -s piped/w64-k4-r0-s2/result.json ]
        check "is refused before anything is trained or cleared" $? "$(find piped)"
    done
    from letters.jsonl 1 "its plan" $piped --recipe dictionary_learning --arch topk,gated --out piped --plan
    from letters.jsonl 1 "more than fits at once" $piped --width 4096 --seed 0,1,2,3 --memory 24M --out piped
    grep -q ' groups, .* only once: .* a .txt or .jsonl file .* more --memory (now 22 MiB)' err && [ ! -e piped/groups/003 ]
    check "is refused too" $?
    from letters.jsonl 1 "two recipes into no folder" $piped --recipe dictionary_learning --arch topk,gated --out em
    [ ! -e em ]
    check "make none" $?
    from letters.jsonl 0 "what was finished and one group" $piped --seed 0,1,2,3 --out piped
    "$sae" ${piped%%--text*} --text letters.jsonl ${piped#*--text -} --recipe dictionary_learning --arch topk,gated --out from_file >out 2>err </dev/null
    check "two recipes from a file" $?
    # Those that do not diverge need the text from its beginning, too.
    uneven="${piped%% --width*} --arch standard --width 64 ${piped#* --k 4 } --l1-coefficient 0.1,1e38 --out piped_uneven"
    from letters.jsonl 1 "one of two diverges, from a pipe" $uneven
    grep -q 'standard-w64-l1e+38-r0-s0 diverged, and the others .* only once' err && grep -q '^With the same text through the pipe again' err &&
        grep -q '^  sae sweep .* --out piped_uneven$' err && [ ! -e piped_uneven/results.json ]
    check "is told how the other one goes on" $?
    cp -r piped_uneven piped_other
    from other_letters.jsonl 1 "and the others of another text" ${uneven%piped_uneven}piped_other
    grep -q 'piped_other/groups/00.: the text up to row [0-9]* is not the one that was read before, when a dictionary diverged there' err && [ ! -e piped_other/results.json ]
    check "are refused" $? "$(ls piped_other)"
    from other_letters.jsonl 1 "one beside it of another text" ${uneven%,1e38*},1e38 --seed 1 --out piped_other
    grep -q 'not the one that was read before' err && [ ! -e piped_other/standard-w64-l0.1-r0-s1/result.json ]
    check "is refused, too" $? "$(ls piped_other)"
    from letters.jsonl 1 "and the same again" $uneven
    grep -q '1 of 2 dictionaries diverged' err && grep -q '^standard-w64-l0.1-r0-s0  *[0-9]' out
    check "finishes it" $? "$(cat out)"
}

# ---- What was measured on ----------------------------------------------------------------------------------------------------
# Where the rows run out they come again: the table, results.json and the page say how many were trained on, as far as it is known.
head -n 60 letters.jsonl >small.jsonl
told() { # NAME FOLDER NUMBER TEXT: null or a number, and what is said below the table and on the page; "": nothing is
    grep -q "\"measured_rows_trained_on\": $3\$" "$2/results.json" && grep -q 'measured as it was saved on 16384 rows that' "$2/report.html" &&
        if [ "$4" ]; then grep -q "^note: measured on 16384 rows that $4\$" out && grep -q "rows that $4 (their fit flatters" "$2/report.html"; else ! grep -q '^note' out && grep -q 'rows that follow\. Dead' "$2/report.html"; fi
    check "$1" $? "$(cat out)" "$(grep trained_on "$2/results.json")" "$(grep -o 'measured as it was[^.]*' "$2/report.html")"
}
live="sweep --model tiny --site resid_post.0 --buffer 512 --width 64 --k 4 --batch 128 --ctx 32 --checkpoint-every 20 --quiet"
again='follow, but the text had begun again by then (it was read [2-9]\.[0-9]* times): some or all of them were trained on'
# shellcheck disable=SC2086
{
    run 0 "a live sweep over a small text" $live --text small.jsonl --steps 100 --out over
    told "says that its text came again" over null "$again"
    cp over/results.json over.json
    run 0 "and once more" $live --text small.jsonl --steps 100 --out over
    told "says it again" over null "$again"
    call=240
    while SAE_FAIL_IO="$call:KILL" "$sae" $live --text small.jsonl --steps 100 --out shaken_over >out 2>err </dev/null || [ ! -d shaken_over/groups/001/checkpoints/000000000100 ]; do
        rm -rf shaken_over
        call=$((call + 6))
        [ "$call" -lt 1000 ] || break
    done
    run 0 "one that was killed and is only measured" $live --text small.jsonl --steps 100 --out shaken_over
    told "says it, too" shaken_over null "$again"
    cmp -s shaken_over/results.json over.json && [ "$call" -lt 1000 ]
    check "and has the same results" $?
    run 0 "one whose text ends while it measures" $live --text letters.jsonl --steps 100 --out ends
    told "says that it came again" ends null "$(echo "$again" | sed 's/.2-9./1/')"
    run 0 "one whose text does not end" $live --text letters.jsonl --steps 10 --out goes_on
    told "has nothing to say" goes_on 0 ""
    sed 's/"text_passes"/"unknown"/' goes_on/w64-k4-r0-s0/result.json >older && cp older goes_on/w64-k4-r0-s0/result.json
    run 0 "one that an older version measured" $live --text letters.jsonl --steps 10 --out goes_on
    grep -q '"measured_rows_trained_on": null$' goes_on/results.json && grep -q 'did not note whether the text had begun again' goes_on/report.html && ! grep -q '^note' out
    check "does not know" $? "$(cat out)"
    make_rows long.npy 20000 4 7
    run 0 "a sweep of an array that ends while it measures" sweep --array long.npy --width 8 --k 2 --steps 40 --batch 256 --quiet --out half
    # 10,240 were trained on and 9,760 follow; of the 6,624 that begin the array again about half were trained on
    n=$(sed -n 's/.*"measured_rows_trained_on": \([0-9]*\)$/\1/p' half/results.json)
    [ "${n:-0}" -gt 3200 ] && [ "$n" -lt 3600 ]
    check "knows how many were trained on" $? "$n"
    told "and says so" half "$n" "follow, of which $n were trained on, since the input has no others left"
    run 0 "as JSON" sweep --array long.npy --width 8 --k 2 --steps 40 --batch 256 --quiet --out half --json
    grep -q "\"measured_rows_trained_on\": $n\$" out
    check "says it, too" $? "$(tail -n 4 out)"
    run 0 "a sweep of an array that does not end" sweep --array long.npy --width 8 --k 2 --steps 14 --batch 256 --quiet --out quarter
    told "has nothing to say" quarter 0 ""
    run 0 "a sweep that trains on all of it" sweep --array long.npy --width 8 --k 2 --steps 80 --batch 256 --quiet --out whole
    told "says that it did" whole 16384 "were trained on, since the input has no others left"
}

# ---- Curves ------------------------------------------------------------------------------------------------------------------
# A dictionary that began anew in a later group has one curve, that of the later group.
mkdir -p twice/run/groups/001 twice/run/groups/002 once/run/groups/002
for rows_done in 32 64 96; do echo "{\"rows\": $rows_done, \"dict\": \"w32-k3-r0-s0\", \"loss\": $rows_done, \"fvu\": 0.5}"; done >twice/run/groups/001/log.jsonl
for rows_done in 32 64; do echo "{\"rows\": $rows_done, \"dict\": \"w32-k3-r0-s0\", \"loss\": 7, \"fvu\": 0.25}"; done >once/run/groups/002/log.jsonl
cp once/run/groups/002/log.jsonl twice/run/groups/002
run 0 "curves of a dictionary in two groups" plot twice/run --out twice.html
run 0 "and of it in the later one" plot once/run --out once.html
cmp twice.html once.html >err
check "are the same" $?

# ---- Transcoders -------------------------------------------------------------------------------------------------------------
transcoders="--k 3 --target-array y.npy --width 32,48 --steps 120"
# shellcheck disable=SC2086
{
    run 0 "a sweep over transcoders" sweep $rows $transcoders --arch $archs --skip --rank 0,2 --out across
    [ "$(lines)" -eq 25 ]
    check "it has a line for each of 24" $? "$(cat out)"
    cp out across.table
    run 0 "a transcoder alone" train $rows --k 3 --target-array y.npy --width 48 --steps 120 --rank 2 --skip --arch jumprelu --out one
    cmp -s one/sae/sae_weights.safetensors across/jumprelu-w48-k3-r2-s0/sae/sae_weights.safetensors
    check "it is that of the sweep" $?
    run 0 "the sweep again" sweep $rows $transcoders --arch $archs --skip --rank 0,2 --out across
    cmp -s out across.table
    check "has the same table" $?
    run 0 "transcoders of rows to themselves" sweep $rows --k 3 --target-array x.npy --width 32 --steps 600 --rank 24 --out linear
    fvu=$(awk 'NR == 2 { print $3 }' out)
    awk -v f="$fvu" 'BEGIN { exit !(f < 0.05) }'
    check "with a scaffold of full rank rebuild them" $? "FVU $fvu" # 0.0031
    awk 'BEGIN { srand(3); for (i = 0; i < 40 * 32; i++) printf "\\%03o\\000\\000\\000", int(rand() * 256) }' >octal
    # shellcheck disable=SC2059
    { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<i4', 'fortran_order': False, 'shape': (40, 32), }" && printf "$(cat octal)"; } >order.npy
    ordered="$rows --k 3 --target-array y.npy --order order.npy --width 32"
    run 0 "transcoders in a given order" sweep $ordered --rank 0,1 --out ordered
    run 0 "one of them alone" train $ordered --rank 1 --out one_ordered
    cmp -s one_ordered/sae/sae_weights.safetensors ordered/w32-k3-r1-s0/sae/sae_weights.safetensors
    check "is the same" $?
}
