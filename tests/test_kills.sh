#!/bin/sh
# test_kills.sh - training runs killed at random moments and resumed end with the bytes of an undisturbed run: the log, the
# newest checkpoint, the exported dictionaries.
#
#   KILLS=6 KILL_SECONDS=1 KILL_SEED=1 KILL_INPUTS="array store families penalties many live"    the defaults (make kills, make
#   kills-long: more)
#
# One run has one set of rules; by the default recipe topk, jumprelu and batchtopk share theirs, and standard and gated theirs. Many
# tiny dictionaries train on one thread: between two, most of a step is waiting. store and live have all of them.
#
# Of the kills, a half are SIGKILL at a moment uniform over the run, a quarter SIGKILL at one of the system calls that write (most
# of them lie in the middle of a checkpoint; half of what a write was to write is on disk then), a quarter SIGINT or SIGTERM. A
# run is killed one to three times before it may end, and every input is run at least once.
set -u
kills=${KILLS:-6} seconds=${KILL_SECONDS:-1} seed=${KILL_SEED:-1} inputs=${KILL_INPUTS:-array store families penalties many live}
root=$PWD
. ./tests/letters.sh
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) # in memory: many syncs
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

# ---- Rows: of a tiny model, live and stored ----
letters_model model
letters_text 7 >text.jsonl
if ! "$sae" acts --quiet model --site resid_post.1 --text text.jsonl --ctx 16 --split all --tokens 12000 --dtype f32 \
    --out store >out 2>err; then
    echo "not ok rows to train on"
    cat err
    exit 1
fi

arguments() { # INPUT: what it trains on, and what
    [ "$1" = penalties ] || echo "--threshold-start-step 5"
    case $1 in
    array) echo "--array ../store/shard-00000.safetensors:rows --width 512 --k 8 --rank 4 --threads 1" ;;
    store) echo "--store ../store --arch matryoshka --width 512 --k 8 --rank 2 --variant p2" ;; # AuxK at work, see below
    families) echo "--store ../store --arch topk,jumprelu,batchtopk --width 256 --k 8 --threads 1" ;;
    penalties) echo "--store ../store --arch standard,gated --width 256 --threads 1" ;;
    many) echo "--store ../store --width 256,384 --k 4,8 --rank 0,3 --threads 1" ;;
    live) echo "--model ../model --site resid_post.1 --text ../text.jsonl --ctx 16 --buffer 2000 --width 256 --k 8" ;;
    esac
}
now() { date +%s.%N; }
calculate() { awk "BEGIN { print $1 }"; }

# Runs sae train in a folder of the scratch folder; the shell becomes the program, so that $! is its number.
train() { # FOLDER INPUT STEPS OPTIONS...
    folder=$1 steps=$3
    # shellcheck disable=SC2046
    set -- $(arguments "$2") --batch 128 --dead-tokens 512 --steps "$steps" --checkpoint-every $((steps / 15 + 1)) --keep 2 \
        --out run $(shift 3 && echo "$@")
    cd "$scratch/$folder" && exec env --default-signal=INT,TERM "$sae" train --quiet "$@" >out 2>err
}

# The undisturbed run of an input, as long as asked for, under INPUT.ref; steps and seconds in INPUT.steps and INPUT.time.
reference() { # INPUT
    [ -f "$1.time" ] && return 0
    mkdir -p "$1.try" "$1.ref"
    for steps in 40 200; do
        rm -rf "$1.try/run"
        begin=$(now)
        (train "$1.try" "$1" $steps) || { cat "$1.try/err"; return 1; }
        calculate "$(now) - $begin" >"$1.$steps"
    done
    # A bound below: on a busy machine the longer run may be the faster one.
    awk -v s="$seconds" -v a="$(cat "$1.40")" -v b="$(cat "$1.200")" 'BEGIN { step = (b - a) / 160
        if (step < b / 400) step = b / 400
        n = int((s - a) / step + 40); print n < 40 ? 40 : n }' >"$1.steps"
    begin=$(now)
    (train "$1.ref" "$1" "$(cat "$1.steps")") || { cat "$1.ref/err"; return 1; }
    calculate "$(now) - $begin" >"$1.time"
}

newest() { # FOLDER
    find "$1/run/checkpoints" -name '[0-9]*' -prune 2>/dev/null | sort | tail -n 1 | sed 's|.*/||'
}

# The same log, dictionaries and newest checkpoint; older ones, where both have them; nothing half written.
same() { # REFERENCE FOLDER
    cmp "$1/run/log.jsonl" "$2/run/log.jsonl" || return 1
    [ "$(newest "$1")" = "$(newest "$2")" ] || { echo "newest checkpoints: $(newest "$1"), $(newest "$2")"; return 1; }
    for checkpoint in "$1"/run/checkpoints/*; do
        other=$2/run/checkpoints/${checkpoint##*/}
        [ ! -d "$other" ] || diff -r "$checkpoint" "$other" || return 1
    done
    diff -r -x checkpoints -x log.jsonl -x time.jsonl -x run.json "$1/run" "$2/run" || return 1
    [ -z "$(find "$2" -name '*.tmp.*')" ] || { find "$2" -name '*.tmp.*'; return 1; }
}

fail() { # WHAT FOLDER
    echo "not ok $1 (seed $seed)"
    cat "$2/err"
    broken=$((broken + 1))
}

# ---- Kills ----
done_kills=0 missed=0 broken=0 runs=0 by_signal=0 by_call=0 by_interrupt=0
# A line per attempt: where in the run (a share), how, the number of the call, and whether the run may end after it.
awk -v seed="$seed" 'BEGIN { srand(seed); for (i = 0; i < 100000; i++)
    print rand(), int(rand() * 8), int(rand() * 300) + 1, int(rand() * 2) }' >chances
exec 3<chances
# shellcheck disable=SC2086
set -- $inputs
n_inputs=$#
while { [ "$done_kills" -lt "$kills" ] || [ "$runs" -lt "$n_inputs" ]; } && [ "$broken" -eq 0 ]; do
    # shellcheck disable=SC2086
    set -- $inputs
    shift $((runs % n_inputs))
    input=$1 ends=0 times=0
    runs=$((runs + 1))
    reference "$input" || { echo "not ok the undisturbed run of $input"; exit 1; }
    steps=$(cat "$input.steps")
    rm -rf work && mkdir work
    while [ "$ends" -eq 0 ] && [ "$times" -lt 3 ]; do
        read -r share how call ends <&3
        resume=
        [ -f work/run/run.json ] && resume=--resume
        if [ "$how" -ge 4 ] && [ "$how" -lt 6 ]; then
            export SAE_FAIL_IO="$((call + 20)):KILL" # the first twenty read the input
            train work "$input" "$steps" $resume &
            unset SAE_FAIL_IO
            wait $!
            code=$?
            wanted=137
        else
            train work "$input" "$steps" $resume &
            sleep "$(calculate "$share * $(cat "$input.time")")"
            case $how in 6) signal=INT wanted=1 ;; 7) signal=TERM wanted=1 ;; *) signal=KILL wanted=137 ;; esac
            kill -s $signal $! 2>/dev/null
            wait $!
            code=$?
        fi
        if [ "$code" -eq 0 ]; then
            missed=$((missed + 1)) # it was done before
            break
        elif [ "$code" -ne $wanted ] && ! { [ "$wanted" -eq 1 ] && [ "$code" -ge 128 ]; }; then # a signal before it is caught
            fail "$input, to be killed: exit code $code" work
            break
        fi
        done_kills=$((done_kills + 1)) times=$((times + 1))
        case $how in 4 | 5) by_call=$((by_call + 1)) ;; 6 | 7) by_interrupt=$((by_interrupt + 1)) ;; *) by_signal=$((by_signal + 1)) ;; esac
    done
    resume=
    [ -f work/run/run.json ] && resume=--resume
    (train work "$input" "$steps" $resume) || fail "$input, resumed after $times kills" work
    [ "$broken" -gt 0 ] || same "$input.ref" work >differences 2>&1 || { cat differences; fail "$input: other bytes after $times kills" work; }
    [ -z "${KILL_VERBOSE:-}" ] || echo "$done_kills kills, $runs runs; $input: $times kills" >&2
done
for input in $inputs; do
    [ ! -f "$input.time" ] || echo "# $input: $(cat "$input.steps") steps, $(cat "$input.time") s undisturbed"
done
if [ "$broken" -eq 0 ]; then
    echo "ok $done_kills of $done_kills kills resumed to identical bytes ($by_signal SIGKILL at random, $by_call at a system call, $by_interrupt SIGINT or SIGTERM; $runs runs)"
fi
