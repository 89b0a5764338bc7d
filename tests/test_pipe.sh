#!/bin/sh
# test_pipe.sh - a text from a pipe that ends before all is trained or measured: what is said, and how a file of the same text goes on.
set -u
. ./tests/letters.sh
. ./tests/scratch.sh

letters_model tiny
letters_text 1 >letters.jsonl
head -n 100 letters.jsonl >short.jsonl
sed 's/a/b/' short.jsonl >other.jsonl
data="--model tiny --site resid_post.0 --buffer 256 --width 64 --k 4 --batch 64 --ctx 32"

# ---- Training ----------------------------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
{
    from /dev/null 0 "a run with the text in a file" train $data --text short.jsonl --steps 120 --out whole --quiet
    from short.jsonl 1 "a pipe that ends while it trains" train $data --text - --steps 120 --out run
    grep -q '^pipe .* must give 7936 rows: 7680 to train on, up to 256 in the buffer$' err &&
        grep -q '[1-9][0-9]* of 120 steps are trained, on [0-9]* of 7680 rows: the text from standard input has ended.* [0-9]* rows came of it and [0-9]* of them were taken' err
    check "tells how many rows it gave, and how many were wanted" $?
    grep -q '^The same text in a file' err && grep -q '^  sae train .* --text FILE.jsonl .* --out run --resume$' err
    check "and how it goes on" $?
    from short.jsonl 1 "the same pipe again" train $data --text - --steps 120 --out run --resume
    grep -q 'steps are trained.* has ended' err && grep -q ' --text FILE.jsonl ' err
    check "is told the same" $?
    from /dev/null 1 "a file of another text" train $data --text other.jsonl --steps 120 --out run --resume
    grep -q 'not the one that was read before.* give another --out' err
    check "is refused" $?
    from /dev/null 0 "a file of the same text" train $data --text short.jsonl --steps 120 --out run --resume
    cmp -s run/sae/sae_weights.safetensors whole/sae/sae_weights.safetensors && cmp -s run/log.jsonl whole/log.jsonl
    check "goes on, to the same bytes as a run from that file" $?
    from other.jsonl 0 "a finished one resumed with another text" train $data --text - --steps 120 --out run --resume
    grep -q 'all 120 steps were done already; nothing of the text was read or compared' err
    check "says that it did not look at it" $?
    from short.jsonl 1 "a run that was begun with a file, from a pipe" train $data --text - --steps 120 --out whole --resume
    grep -q 'begun on other rows (text 0 differs)' err
    check "is refused" $?
    from short.jsonl 1 "a pipe that does not fill the buffer" train $data --buffer 262144 --text - --steps 120 --out unfilled
    grep -q '0 of 120 steps are trained, .* of 262144 rows, is filled up before' err && grep -q '^  sae train .* --out unfilled --resume$' err
    check "is told why" $?
    head -n 9 short.jsonl >few.jsonl
    from few.jsonl 1 "one that does not tell which norms are too large" train $data --text - --steps 120 --out early
    grep -q '0 of 120 steps are trained, .* rows came of it and 0 of them were taken; the first 4096 are waited for' err
    check "is told why, too" $?
    from /dev/null 0 "the plan of a file instead" train $data --text short.jsonl --steps 120 --out early --resume --plan
}

# ---- A sweep -----------------------------------------------------------------------------------------------------------------
# shellcheck disable=SC2086
{
    swept="sweep $data --steps 12 --checkpoint-every 4"
    from /dev/null 0 "a sweep with the text in a file" $swept --text short.jsonl --seed 0,1 --out swept_whole --quiet
    from short.jsonl 1 "a pipe that ends while a sweep measures" $swept --text - --seed 0 --out swept
    grep -q '^pipe .* must give 17408 rows: 768 to train on, 16384 to measure on, up to 256 in the buffer$' err &&
        grep -q 'all 12 steps are trained, and 16384 rows more are wanted to measure on: the text from standard input has ended' err &&
        grep -q '^  sae sweep .* --text FILE.jsonl .* --out swept$' err && [ -d swept/groups/001/checkpoints/000000000012 ]
    check "tells what is missing, and how it goes on" $?
    from /dev/null 1 "a file of another text" $swept --text other.jsonl --seed 0 --out swept
    grep -q 'not the one that was read before' err && [ ! -e swept/w64-k4-r0-s0 ]
    check "is refused" $?
    from /dev/null 0 "a file of the same text" $swept --text short.jsonl --seed 0 --out swept --quiet
    grep -q '^note: .* text had begun again' out && cmp -s swept/w64-k4-r0-s0/sae/sae_weights.safetensors swept_whole/w64-k4-r0-s0/sae/sae_weights.safetensors
    check "measures it" $? "$(cat out)"
    [ "$(grep -c '^{' swept/groups/001/log.jsonl)" -eq 12 ] && grep -q '"text 0": "0000000000000000"' swept/sweep.json
    check "trains none of it again" $?
    from /dev/null 0 "one more, of the same file" $swept --text short.jsonl --seed 0,1 --out swept --quiet
    [ "$(grep -c '^w64' out)" -eq 2 ] && cmp -s swept/w64-k4-r0-s1/sae/sae_weights.safetensors swept_whole/w64-k4-r0-s1/sae/sae_weights.safetensors
    check "is trained" $? "$(cat out)"
    from /dev/null 1 "one of another file" $swept --text other.jsonl --seed 2 --out swept
    grep -q 'trained and measured on another text' err && [ ! -e swept/w64-k4-r0-s2/result.json ]
    check "is refused" $?
}
