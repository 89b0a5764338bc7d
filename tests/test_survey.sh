#!/bin/sh
# test_survey.sh - `sae lab survey` on a tiny model: what it counts is what `sae train` and `sae eval` find, a survey that was stopped goes on
# to the same file, and one of other settings is left alone.
set -u
. ./tests/letters.sh
. ./tests/scratch.sh

letters_model tiny
letters_text 1 >letters.jsonl
loud="lab survey --model tiny --text letters.jsonl --tokens 3000 --rows 8000 --batch 64 --ctx 32 --held-out-tokens 400"
sites="--site resid_post.0,resid_post.1"
survey="$loud $sites --width 32,64 --k 4,8 --quiet"

# shellcheck disable=SC2086
{
    run 0 "a survey" $survey --out first
    run 0 "a finished one is read again" $survey --out first --json
    check "as JSON" "$(grep -q '"headline_dense"' out; echo $?)"
    run 2 "a setting that no dictionary can have" $survey --k 40 --out never
    run 2 "too short for its stages" $survey --rows 1000 --stages 4 --out never
    check "what is refused makes nothing" "$([ -e never ]; echo $((1 - $?)))"
    run 1 "a survey of other settings is left alone" $survey --seed 5 --out first
    check "and said so" "$(grep -q 'survey of other settings' err; echo $?)"
    mkdir mine && touch mine/notes
    run 1 "a folder of something else" $survey --out mine

    mkdir empty && mkdir -p begun/results && touch begun/survey.json.tmp.12345
    run 0 "an empty folder" $survey --out empty
    run 0 "what a call leaves that is killed at once" $survey --out begun
    check "gives the same numbers" "$(cmp first/results/survey.json begun/results/survey.json >/dev/null; echo $?)"

    # Killed in the middle, twice, then let be.
    for pause in 0.3 0.9; do
        timeout -s KILL "$pause" "$sae" $survey --out second >out 2>err
    done
    run 0 "stopped and gone on with" $survey --out second
    check "gives the same numbers" "$(cmp first/results/survey.json second/results/survey.json >/dev/null; echo $?)"

    # Damaged files are named with what to do.
    cp -r second damaged && echo '{' >damaged/results/blocks.1.hook_resid_post.json
    run 1 "a damaged part" $survey --out damaged
    check "which is said" "$(grep -q 'blocks.1.hook_resid_post.json.*remove it, and the same command' err; echo $?)" "$(cat err)"
    rm damaged/results/blocks.1.hook_resid_post.json && echo '[' >damaged/survey.json
    run 1 "damaged settings" $survey --out damaged
    check "and these" "$(grep -q 'survey.json.*has the settings of damaged.*remove the file' err; echo $?)" "$(cat err)"

    # One of its dictionaries, trained alone on the same rows, has its L0 and FVU in the survey's table.
    rm second/results/blocks.1.hook_resid_post.json
    run 0 "a part that is gone is made again" $survey --out second
    check "and is the same" "$(cmp first/results/blocks.1.hook_resid_post.json second/results/blocks.1.hook_resid_post.json >/dev/null; echo $?)"
    run 0 "one of its dictionaries alone" train --store first/acts/blocks.1.hook_resid_post --width 64 --k 8 --batch 64 --rows 8000 --quiet --out alone
    run 0 "measured" eval alone/sae --model tiny --text letters.jsonl --ctx 32 --tokens 400 --json
    fvu=$(sed -n 's/^ *"fvu": *{\{0,1\} *\([0-9.e-]*\).*/\1/p' out | head -n 1)
    check "has the survey's FVU, to six digits" "$([ -n "$fvu" ] && grep -q "\"fvu\": *${fvu%???}[0-9]" first/results/blocks.1.hook_resid_post.json; echo $?)" "fvu '$fvu'" "$(cat out | head -c 1500)"

    # A survey grows: what it has is kept, what is asked for and missing is made. A made-up number of dead latents is told from one made anew.
    part=results/blocks.1.hook_resid_post.json
    run 0 "a survey of one site, width and k" $loud --site resid_post.1 --width 32 --k 8 --quiet --out grown
    check "counts one dictionary" "$([ "$(grep -c '"width"' grown/$part)" = 3 ]; echo $?)" "$(cat grown/$part)"
    sed 's/"dead": *[0-9]*/"dead": 1000777/' grown/$part >with_mark && cp with_mark grown/$part
    run 0 "with another site, width and k" $survey --out grown
    check "has them all" "$([ "$(grep -c '"width"' grown/$part)" = 12 ] && [ "$(grep -c '"width"' grown/results/blocks.0.hook_resid_post.json)" = 12 ]; echo $?)"
    check "and what it had" "$([ "$(grep -c 1000777 grown/$part)" = 3 ] && grep -q 1000777 grown/results/survey.json; echo $?)" "$(head -c 2000 grown/$part)"
    run 0 "by fewer again" $loud $sites --width 32 --k 4,8 --quiet --out grown
    check "it loses none" "$([ "$(grep -c '"width"' grown/$part)" = 12 ] && ! grep -q 'width 64' grown/results/survey.json; echo $?)"
    for older in '/"training_revision"/d' 's/"training_revision": *[0-9]*/"training_revision": 0/'; do
        sed "$older" grown/$part >old && ! cmp -s old grown/$part && cp old grown/$part
        run 0 "counts of an older way to train" $survey --out grown
        check "are made anew" "$(grep -q 1000777 grown/$part; echo $((1 - $?)))" "$(head -c 500 grown/$part)"
        check "and are those of a survey made at once" "$(cmp -s grown/results/survey.json first/results/survey.json; echo $?)" "$(diff grown/results/survey.json first/results/survey.json | head -n 20)"
    done
    # In one place of survey.json an older program had its grid.
    sed 's/^{/{"sites": ["blocks.7.hook_resid_post"], "widths": [1], "k": [1],/' grown/survey.json >old && cp old grown/survey.json
    run 0 "a folder with the grid of an older program" $survey --out grown

    run 0 "more held-out text than there is" $loud --site resid_post.1 --width 32 --k 4 --held-out-tokens 9999999 --out loud
    check "is told, once" "$([ "$(grep -c 'warning: --held-out-tokens 9999999: the held-out part of the text has [0-9]*, all' err)" = 1 ]; echo $?)"
    run 0 "with --quiet" $loud --site resid_post.0 --width 32 --k 4 --held-out-tokens 9999999 --out loud --quiet
    check "it is not" "$([ ! -s err ]; echo $?)"

    # A scaffold run takes site, width and k that are not given from the survey, and says so.
    small="--tokens 3000 --rows 4096 --batch 64 --ctx 32 --held-out-tokens 400 --ce-tokens 400 --rank 2 --cards 2 --topics none --quiet"
    run 0 "a scaffold run by the survey" scaffold --model tiny --text letters.jsonl --survey first $small --out chosen
    headline=$(sed -n 's/.*"headline": *"\([^"]*\)".*/\1/p' first/results/survey.json | head -n 1)
    wanted=$(sed -n 's/^ *"\(site\|width\|k\)": *"\{0,1\}\([^",]*\).*/\1 \2/p' chosen/scaffold.json | sort | tr '\n' ' ')
    check "has its headline's site, width and k" "$(case "$headline" in "$(echo "$wanted" | sed 's/k \([0-9]*\) site \([^ ]*\) width \([0-9]*\) /\2, width \3, k \1/'):"*) echo 0 ;; *) echo 1 ;; esac)" "$headline" "$wanted"
    check "and says so" "$(grep -q "the survey's choice at this site" chosen/results/survey/survey.json; echo $?)"
    choice=$wanted
    run 0 "its plan by the survey" scaffold --plan --model tiny --text letters.jsonl --survey first $small --json
    grep -A 1 '"flop.training": {' out >by_survey
    run 0 "and by what the survey says" scaffold --plan --model tiny --text letters.jsonl --site "$(echo "$choice" | sed 's/.*site \([^ ]*\).*/\1/')" \
        --width "$(echo "$choice" | sed 's/.*width \([0-9]*\).*/\1/')" --k "$(echo "$choice" | sed 's/^k \([0-9]*\).*/\1/')" $small --json
    check "are of the same training" "$(grep -A 1 '"flop.training": {' out | cmp -s - by_survey && [ -s by_survey ]; echo $?)" "$(cat by_survey)" "$(grep -A 1 flop.training out)"
    check "and print it" "$([ "$(sed -n 's/^ *"\(site\|width\|k\)": *"\{0,1\}\([^",]*\).*/\1 \2/p' out | sed 's/\.0$//' | sort | tr '\n' ' ')" = "$choice" ]; echo $?)" "$(head -n 20 out)"
    run 2 "a survey with a shape" scaffold --plan --text letters.jsonl --survey first --shape 2304,26,2614341888,256000,12
    run 0 "a threshold of its own" scaffold --model tiny --text letters.jsonl --survey first --dense-threshold 0.05 $small --out loose
    check "is the column that decides" "$(grep -q 'most latents over 5 %' loose/results/survey/survey.json; echo $?)"
    run 1 "a threshold that the survey lacks" scaffold --model tiny --text letters.jsonl --survey first --dense-threshold 0.15 $small --out x
    check "is told which it has" "$(grep -q '0.05, 0.1, 0.2' err && [ ! -e x ]; echo $?)"
    run 0 "with a width of its own" scaffold --model tiny --text letters.jsonl --survey first --width 32 --k 8 $small --out other
    run 1 "a width that it lacks" scaffold --model tiny --text letters.jsonl --survey first --width 48 $small --out x
    check "decides no k" "$(grep -q 'give both --width and --k' err && [ ! -e x ]; echo $?)"
    run 0 "with the k as well" scaffold --plan --model tiny --text letters.jsonl --survey first --width 48 --k 5 $small
    # Made-up counts: most latents over 10 % at blocks.1, width 64, k 8, of k 4 and of width 32 at blocks.0, width 32, k 4.
    cp -r first made
    count() { # SITE WIDTH K COUNT, of those that saw most rows
        sed "s/\(\"blocks.$1.hook_resid_post\",$2.0,$3.0,{[^}]*},$most,[^,]*,[^,]*,[^,]*,\)[^,]*/\1$4.0/"
    }
    tr -d '\n' <first/results/survey.json | sed 's/  */ /g; s/\([][,:]\) /\1/g; s/ \([][]\)/\1/g' >flat
    most=$(grep -o '},[0-9.]*,' flat | tr -d '},' | sort -n | tail -n 1)
    count 1 64 8 60 <flat | count 0 32 4 32 >made/results/survey.json
    setting() { sed -n 's/^ *"\(site\|width\|k\)": *"\{0,1\}\([^",]*\).*/\1 \2/p' "$1/scaffold.json" | sort | tr '\n' ' '; }
    run 0 "a scaffold run with a k of its own" scaffold --model tiny --text letters.jsonl --survey made --k 4 $small --out of_k
    check "is where most latents are with this k" "$([ "$(setting of_k)" = "k 4 site blocks.0.hook_resid_post width 32 " ]; echo $?)" "$(setting of_k)"
    run 0 "and with sizes that were not surveyed" scaffold --model tiny --text letters.jsonl --survey made --k 5 --width 48 $small --out of_none
    check "where most latents are of all" "$([ "$(setting of_none)" = "k 5 site blocks.1.hook_resid_post width 48 " ]; echo $?)" "$(setting of_none)"
    check "which is said" "$(grep -q 'has none with 48 latents and k 5, at any site' of_none/results/survey/survey.json; echo $?)"
    run 1 "by another survey in its folder" scaffold --model tiny --text letters.jsonl --survey first --k 8 $small --out of_k
    check "is told by that, not by what it decides" "$(grep -q 'other settings (survey)' err; echo $?)"
    run 0 "the plan of one" scaffold --plan --model tiny --text letters.jsonl --survey made --k 5 --width 48 --site resid_post.0 $small
    check "says what it is of" "$(grep -q '^site  *blocks.0.hook_resid_post$' out && grep -q '^width  *48$' out && grep -q '^k  *5$' out &&
        grep -q '^rank  *2$' out; echo $?)" "$(head -n 20 out)"
    check "and what the survey has" "$(tr '\n' ' ' <out | grep -q 'has none with 48 latents and k 5'; echo $?)" "$(head -n 20 out)"
    run 1 "a site that it lacks" scaffold --model tiny --text letters.jsonl --survey first --site blocks.0.hook_mlp_out $small --out x
    check "is named" "$(grep -q 'nothing of blocks.0.hook_mlp_out' err; echo $?)"
    cp -r first foreign && sed 's/"model": "[0-9a-f]*"/"model": "0123"/' first/survey.json >foreign/survey.json
    run 1 "a survey of another model" scaffold --model tiny --text letters.jsonl --survey foreign $small --out x
    check "is refused" "$(grep -q 'of another model' err && [ ! -e x ]; echo $?)"
}
