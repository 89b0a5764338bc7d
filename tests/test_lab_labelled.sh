#!/bin/sh
# test_lab_labelled.sh - `sae lab probing`, `tpp` and `topics` as their users meet them, on a tiny model with a tokenizer of a few letters.
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
shows() { # TEXT: the last command printed it
    if grep -qF -e "$1" out; then ok "shows $1"; else not_ok "shows $1" "$(head -c 2000 out)"; fi
}

holds() { # FILE KEY: the result has a number of this name, with its interval
    if grep -F -A 1 "\"$2\": {" "$1" | grep -q '"value": -*[0-9]'; then ok "$1 has $2"; else not_ok "$1 has $2"; fi
}

# ---- A model, two dictionaries, three classes of documents ----
letters_model tiny
letters_text 1 >letters.jsonl
"$sae" scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair --rank 2 --width 64 --k 4 --batch 64 --ctx 32 \
    --tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --quiet >out 2>err || not_ok "dictionaries to measure"
mkdir -p short/baseline short/scaffold data
mv pair/dictionaries/batchtopk-baseline-s0 short/baseline/sae && mv pair/dictionaries/batchtopk-p1-s0 short/scaffold/sae && rm -r pair && mv short pair
awk 'BEGIN { srand(2); print "prompt,target"; for (i = 0; i < 240; i++) { line = ""; c = i % 3; for (j = 0; j < 24; j++)
    line = line (rand() < 0.4 ? substr("abc", c + 1, 1) : substr("abcd ", int(rand() * 5) + 1, 1)); print "\"" line "\"," substr("xyz", c + 1, 1) } }' >data/three.csv
echo "no set" >data/README.md

given="--model tiny --site resid_post.0 --ctx 24 --quiet --n-train 50 --n-test 20"
# $given is a list of options
# shellcheck disable=SC2086
{
    expect "probing" 0 '' lab probing pair/baseline/sae pair/scaffold/sae $given --data data --k 1,3 --out probing.json
    shows "residual stream"
    shows "labels shuffled"
    shows "latents and scaffold codes, scaled choice"
    for key in baseline.probing.k1 scaffold.probing.k3 scaffold.probing.scaffold.k1 scaffold.probing.random.k3 baseline.probing.shuffled.k1 \
        scaffold.probing.gain.k3 scaffold.probing.scaffold.gain.k1 scaffold.probing.scaled.k3 \
        scaffold.probing.scaffold.scaled.mean scaffold.probing.scaffold.scaled.gain.k1 probing.neurons.k1 probing.components.k3 probing.residual \
        scaffold.probing.mean scaffold.probing.gain.mean scaffold.latents.accuracy.k1 scaffold.latents.gain.k3 "residual stream.accuracy"; do
        holds probing.json "$key"
    done
    expect "probing does not overwrite" 1 'probing.json' lab probing pair/baseline/sae $given --data data --out probing.json
    expect "probing --json" 0 '' lab probing pair/scaffold/sae $given --data data/three.csv --k 2 --json
    shows '"scaffold.latents.accuracy.k2"'
    mv out first
    expect "probing again" 0 '' lab probing pair/scaffold/sae $given --data data/three.csv --k 2 --json
    if cmp -s first out; then ok "the same command gives the same bytes"; else not_ok "the same command gives the same bytes"; fi
    expect "probing, the last token" 0 '' lab probing pair/scaffold/sae $given --data data --last-token
    expect "tpp" 0 '' lab tpp pair/baseline/sae pair/scaffold/sae $given --data data --n 1,4,500 --out tpp.json
    shows "unintended"
    shows "gain over the first"
    for key in baseline.tpp.n1 scaffold.tpp.n500 baseline.tpp.random.n4 scaffold.tpp.shuffled.n1 scaffold.tpp.gain.n4 scaffold.tpp.random.gain.n4 \
        baseline.tpp.over_random.n4 baseline.tpp.random.held.n4 baseline.tpp.mean scaffold.tpp.gain.mean scaffold.tpp.scaffold.n4 \
        scaffold.tpp.scaffold.mean scaffold.tpp.scaffold.gain.mean scaffold.tpp.scaffold.over_latents.n4 scaffold.tpp.codes.fall \
        tpp.shuffled.off; do
        holds tpp.json "$key"
    done
    shows "50 and 20 of the 3 classes of"
    shows "of 6 intervals (2 dictionaries at 3 n) leave 0 out; 1 in 20, 0.3, would"
    expect "topics" 0 '' lab topics --dict pair/scaffold/sae --features pair/baseline/sae $given --data data --label-name target
    shows "scaffold removed, R3 centred"
    shows "topic-aligned features ablated"
    expect "topics, label sets beside a label's name" 2 '--labels would do nothing' lab topics $given --data data --label-name target --labels subjects
    expect "topics without a subspace" 0 '' lab topics $given --data data --label-name target --rank 3
    shows "PCA removed, R2 uncentred"
    whole="--model tiny --text letters.jsonl --site resid_post.0 --out whole --rank 2 --width 64 --k 4 --batch 64 --ctx 32 --tokens 3000 --rows 8192
        --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --topics data/three.csv --questions 120 --quiet"
    expect "scaffold with topics" 0 '' scaffold $whole
    shows "topics, scaffold removed, batchtopk"
    [ -s whole/results/batchtopk-topics/topics.json ] || not_ok "scaffold leaves the result of its topics"
    expect "the last token's rows in the same folder, only with --force" 1 'last_token' scaffold $whole --last-token
    expect "the last token's rows, nothing else anew" 0 '' scaffold $whole --last-token --force
    if [ "$(grep -c '"kept": false' whole/run.json)" -eq 1 ] && grep -A 2 '"batchtopk-topics"' whole/run.json | grep -q false; then
        ok "only topics depend on it"
    else
        not_ok "only topics depend on it" "$(grep -B 1 '"kept": false' whole/run.json)"
    fi
    grep -q "Rows of the last token" whole/results/batchtopk-topics/topics.json || not_ok "topics say whose rows they are"
    # 120 questions of 3 classes: 28 to train on, 12 to test on
    expect "lab topics on the same documents" 0 '' lab topics --dict whole/dictionaries/batchtopk-p1-s0 --features whole/dictionaries/batchtopk-baseline-s0 \
        --model tiny --data data/three.csv --label-name target --n-train 28 --n-test 12 --last-token --quiet --out last.json
    clean() { grep -A 2 '"[a-z]*.clean\(.fixed\)\{0,1\}": {' "$1" | sed -n 's/^ *"value": *\([0-9.]*\).*/\1/p' | head -n 1; }
    if [ -n "$(clean last.json)" ] && [ "$(clean last.json)" = "$(clean whole/results/batchtopk-topics/topics.json)" ]; then
        ok "its clean probe is that of the run"
    else
        not_ok "its clean probe is that of the run" "'$(clean last.json)' '$(clean whole/results/batchtopk-topics/topics.json)'"
    fi
    expect "scaffold, the last token of nothing" 2 '--topics or --labelled' scaffold --model tiny --text letters.jsonl --out none --topics none --last-token
    expect "scaffold, latents of nothing" 2 '--topics or --points' scaffold --model tiny --text letters.jsonl --out none --topics none --ablate scaffold
    expect "scaffold, the knee of no ranks" 2 '--ranks' scaffold --model tiny --text letters.jsonl --out none --rank knee --ranks none
    expect "scaffold, a rank that is none" 2 'or knee' scaffold --model tiny --text letters.jsonl --out none --rank elbow
    expect "scaffold, dense on all tokens" 2 '--dense-threshold' scaffold --model tiny --text letters.jsonl --out none --dense-threshold 1
    expect "scaffold, too few questions" 1 'raise --questions' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out few --rank 2 --width 64 \
        --k 4 --batch 64 --ctx 32 --tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --topics data/three.csv --questions 9 --quiet
    [ ! -e few ] || not_ok "what cannot be measured is refused before anything is made"
    expect "scaffold, questions of nothing" 2 '--topics' scaffold --model tiny --text letters.jsonl --out none --questions 9
    expect "scaffold, labels of nothing" 2 '--topics' scaffold --model tiny --text letters.jsonl --out none --topics none --labels categories
    expect "scaffold, labels that are none" 2 'ten-subjects' scaffold --model tiny --text letters.jsonl --out none --topics data/three.csv --labels colours
    expect "scaffold, labels twice" 2 'there twice' scaffold --model tiny --text letters.jsonl --out none --topics data/three.csv --labels subjects,subjects
    expect "scaffold, MMLU's labels of other documents" 1 'leave --labels out' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out none \
        --topics data/three.csv --labels subjects --quiet
    expect "topics, an array" 1 'a basis must be [' lab topics --basis "$root/data/golden/sae/formats/x.safetensors" $given --data data --label-name target

    # ---- MMLU's ten subjects beyond the quick budget, with and without their categories ----
    awk 'BEGIN { srand(3); n = split("astronomy computer_security elementary_mathematics high_school_chemistry high_school_geography high_school_us_history " \
        "international_law marketing nutrition world_religions", s, " "); for (i = 0; i < 30 * n; i++) { line = ""; for (j = 0; j < 24; j++)
        line = line substr("abcd ", int(rand() * 5) + 1, 1)
        print "{\"text\": \"" line "\", \"label\": \"" s[i % n + 1] "\", \"category\": \"" (i % n < 5 ? "one" : "two") "\"}" } }' >mmlu.jsonl
    sed 's/, "category": "[a-z]*"//' mmlu.jsonl >subjects.jsonl
    beyond="--model tiny --text letters.jsonl --site resid_post.0 --budget standard --arch batchtopk --seeds 1 --variants p1 --ks none --ranks none --retrain no
        --points 0 --labelled none --rank 2 --width 64 --k 4 --batch 64 --ctx 32 --tokens 3000 --rows 4096 --held-out-tokens 400 --ce-tokens 200 --draws 1
        --cards 2 --questions 200 --quiet --out beyond"
    expect "scaffold, MMLU without categories" 0 '' scaffold $beyond --topics subjects.jsonl
    told=beyond/results/batchtopk-topics/topics.json
    if grep -q '"subjects.clean.fixed"' $told && grep -q 'four categories are left out' $told && ! grep -q '"categories.clean' $told; then
        ok "tells the subjects, and that there are no categories"
    else
        not_ok "tells the subjects, and that there are no categories" "$(head -c 2000 $told)"
    fi
    expect "scaffold, MMLU with categories" 0 '' scaffold $beyond --topics mmlu.jsonl --force
    if grep -q '"ten-subjects.clean.fixed"' $told && grep -q '"categories.clean.fixed"' $told; then ok "tells them"; else not_ok "tells them" "$(head -c 2000 $told)"; fi
    # 200 questions of two categories, 100 each: 30 of each to test on; the first set makes the claims
    shows "categories, 60 test questions"
    shows "of equal density"
    expect "scaffold, one set of labels" 0 '' scaffold $beyond --topics mmlu.jsonl --labels ten-subjects --force
    shows "ten-subjects, 60 test questions"
    if grep -q '"ten-subjects.clean.fixed"' $told && ! grep -q '"subjects.clean\|"categories.clean' $told; then ok "tells it alone"; else not_ok "tells it alone" "$(head -c 2000 $told)"; fi
    expect "scaffold, categories where there are none" 1 'add it, or --labels' scaffold $beyond --topics subjects.jsonl --labels categories --force

    # ---- Every part at once: the full budget with every size made small ----
    everything="--model tiny --text letters.jsonl --site resid_post.0 --budget full --rank 2 --width 64 --k 4 --ks 2,8 --ranks 1,3 --seeds 2 --batch 64 --ctx 32
        --tokens 3000 --rows 4096 --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --points 2 --topics mmlu.jsonl --questions 200
        --labelled data/three.csv --quiet"
    expect "scaffold, everything" 0 '' scaffold $everything --out all
    for claim in "rank of the scaffold" "dense latents (over 10 %), matryoshka" "sparse probing, mean over k, matryoshka" "TPP, mean over n, batchtopk" "N3 at each k and n" \
        "matryoshka, density mass of dense ones" "CE after removal, centred (R3), matryoshka" "aligned features ablated, batchtopk" "topics, 8 topic-aligned features ablated" \
        "the scaffold is causally necessary, matryoshka" "matryoshka, P3" "Not tested in this run: other sites"; do
        shows "$claim"
    done
    for part in stability matching matched ranks retrain census figures summary training cards ranks-removal/removal documents/batchtopk-tpp documents/matryoshka-probing \
        batchtopk-dense/baseline matryoshka-dense/scaffold batchtopk-redundancy/match matryoshka-redundancy/union batchtopk-topics/topics matryoshka-topics/topics \
        batchtopk-p1-s1/structure batchtopk-p2-s0/comparison batchtopk-p3-s0/removal matryoshka-p1-s1/density matryoshka-p3-s0/scaffold; do
        file=all/results/$part.json
        [ -s "$file" ] || file=all/results/$part/$part.json
        if [ -s "$file" ]; then ok "it leaves $part"; else not_ok "it leaves $part"; fi
    done
    for heading in "What was found" "The claims as pictures" "With something held equal" "Trained at equal L0, L0 + r and FVU" "By the scaffold&#39;s rank" "Is it the same subspace each time?" \
        "Dense latents removed, and trained anew" "Every dictionary" "What the scaffold of matryoshka-p1-s0 is" "Taking the scaffold of batchtopk-p1-s0 out of the model" \
        "What the dense latents of matryoshka-baseline-s0 are" "ablated (rule: match)" "Topics of documents, matryoshka-p1-s0" "Sparse probing, matryoshka" \
        "Targeted probe perturbation (TPP), batchtopk" "matryoshka-p3-s0 against matryoshka-baseline-s0" "Densest latents of the baseline" "Sparse probing, k 5" "TPP, n 20" "What a direction takes away" \
        "Outlier dimensions inside the scaffold, batchtopk" "What it cost" "N3 at each k and n" "All of the scaffold&#39;s codes ablated together" \
        "TPP, each set" "TPP, mean over n" "Training and test documents of each class:" "dictionaries at 7 n) leave 0 out; 1 in 20"; do
        if grep -qF "$heading" all/report.html; then ok "the report has: $heading"; else not_ok "the report has: $heading"; fi
    done
    # The full budget trains where L0 is the baseline's: of either architecture a dictionary that is told and probed like the others.
    for arch in batchtopk matryoshka; do
        for key in k off l0 fvu ce_ratio dense_0.1 probing.k5 tpp.n20 probing.mean tpp.mean; do holds all/results/matching/matching.json "$arch.l0_trained.$key"; done
        told=$(grep -A 3 "\"$arch.l0_trained.probing.k5\"" all/results/matching/matching.json | sed -n '/"value": [0-9]/p')
        if [ -n "$told" ]; then ok "$arch: what was trained is probed"; else not_ok "$arch: what was trained is probed" "$(ls all/dictionaries)"; fi
    done
    shows 'at equal L0 (trained, '
    # What N2 does not show by its count: at which thresholds a difference is told, and whether there are pairs to re-house.
    shows '; by threshold, over seeds: '
    shows 'antipodal pairs'
    shows '; over the baseline of that L0 '
    # What a lower k does by itself: baselines at the k of the grid, probed like the others, stand in table and plots.
    for arch in batchtopk matryoshka; do
        for key in baseline_k2.dense_0.1 baseline_k8.probing.k5 l0_trained_baseline.tpp.n20 l0_trained.dense_0.1.less_by_k; do
            holds all/results/matching/matching.json "$arch.$key"
        done
    done
    for set in ten-subjects subjects categories; do holds all/results/batchtopk-topics/topics.json "$set.clean.fixed"; done
    # Controls stand in the plots of what they are controls of.
    in_plot() { # FILE LABEL
        if sed -n '/"plots": {/,/"cards"/p' "all/results/$1.json" | grep -qF "\"$2\": {"; then ok "a plot of $1 has: $2"; else not_ok "a plot of $1 has: $2"; fi
    }
    for label in "random latents" "labels shuffled" "chance" "limit of sparse features, this step" "limit, all from rank 0" "a random subspace, R3" \
        "baselines of all seeds" "baseline of equal L0 + r"; do
        in_plot ranks/ranks "$label"
    done
    # At each rank three random subspaces, which differ, their mean between the least and the most, and an interval over them.
    ratio() { tr -d ' \n' <all/results/ranks-removal/removal.json | grep -o "\"$1\":{[^}]*}" | sed 's/.*"value":\([-0-9.e]*\).*/\1/'; }
    for rank in 1 3; do
        holds all/results/ranks-removal/removal.json "batchtopk-p1-r$rank-s0.random3.R2"
        spread=$(for draw in 1 2 3; do ratio "batchtopk-p1-r$rank-s0.random$draw.R2"; done | sort -g | tr '\n' ' ')
        mean=$(ratio "batchtopk-p1-r$rank-s0.random.R2")
        if echo "$spread $mean" | awk '{ exit !(NF == 4 && $1 < $3 && $4 > $1 && $4 < $3) }'; then ok "random subspaces of rank $rank"; else not_ok "random subspaces of rank $rank" "$spread, mean $mean"; fi
        if sed -n "/\"batchtopk-p1-r$rank-s0.over_random.R2\": {/,/}/p" all/results/ranks-removal/removal.json | grep -q '"low": [0-9]'; then
            ok "the scaffold over them, rank $rank"
        else
            not_ok "the scaffold over them, rank $rank"
        fi
    done
    # What N3 says of TPP beside draws of equal density.
    for name in baseline p1; do holds all/results/documents/batchtopk-tpp.json "batchtopk-$name-s0.tpp.over_random.mean"; done
    # N3 goes by the mean over k and n; what is gained at each stands beside it, over seeds.
    for key in probing.gain.k1 probing.gain.mean tpp.gain.n2 tpp.gain.n500 tpp.gain.mean; do holds all/results/summary/summary.json "batchtopk.$key"; done
    # Outlier dimensions are told over the seeds.
    if grep -q '"O1 \[[^"]* over seeds, O2 \[[^"]* over seeds"' all/results/summary/summary.json; then ok "outlier dimensions over seeds"; else not_ok "outlier dimensions over seeds" "$(grep -n 'O1' all/results/summary/summary.json)"; fi
    # Where both seeds have as many, no interval of no width is told.
    widthless=$(grep -F '[0, 0]' all/results/summary/summary.json | grep -v knee)
    if [ -z "$widthless" ]; then ok "no interval without a width"; else not_ok "no interval without a width" "$widthless"; fi
    # Of sparse probing and TPP the plot compares the first seed's; other seeds, k and ranks are in the table.
    curves=$(tr -d ' \n' <all/results/documents/batchtopk-tpp.json | sed 's/.*"curve"://; s/"cards".*//' | grep -o '"[^"]*":{"x"' | tr -d '":{' | tr '\n' ';')
    if [ "$curves" = "batchtopk-baseline-s0x;batchtopk-p1-s0x;batchtopk-p2-s0x;batchtopk-p3-s0x;batchtopk-p1-s0,andscaffoldcodesx;batchtopk-p2-s0,andscaffoldcodesx;batchtopk-p3-s0,andscaffoldcodesx;batchtopk-baseline-s0,randomlatents,equaldensityx;batchtopk-baseline-s0,labelsshuffledx;" ]; then
        ok "the curves of TPP"
    else
        not_ok "the curves of TPP" "$curves"
    fi
    if [ "$(grep -c '"control": true' all/results/documents/batchtopk-tpp.json)" -eq 2 ]; then ok "controls are set apart"; else not_ok "controls are set apart"; fi
    for rule in batchtopk-redundancy/energy batchtopk-redundancy/union matryoshka-redundancy/energy; do
        for label in "matched in density" "random" "subspace removed, R2" "subspace removed, R3"; do in_plot $rule "$label"; done
    done
    for plot in matched_dense_batchtopk matched_probing_matryoshka outliers_matryoshka "baseline of the L0 at equal L0 + r" by_l0_dense_batchtopk \
        by_l0_fvu_matryoshka by_l0_probing_batchtopk by_l0_tpp_matryoshka; do
        in_plot figures/figures "$plot"
    done
    holds all/results/batchtopk-p1-s0/structure.json outlier_inside_pca_O2
    if [ "$(grep -c 'by chance 0\.' all/results/batchtopk-p1-s0/structure.json)" -eq 3 ]; then ok "shares have their chance"; else not_ok "shares have their chance"; fi
    cp -r all/results all_before
    expect "scaffold, everything again" 0 '' scaffold $everything --out all
    if [ "$(grep -c '"kept": false' all/run.json)" -le 1 ]; then ok "nothing is made anew"; else not_ok "nothing is made anew" "$(cat all/run.json)"; fi
    if diff -r all/results all_before; then ok "the results are the same"; else not_ok "the results are the same"; fi
    # A gain of -0.00001 of both seeds is told as +0.0000.
    probing=all/results/documents/batchtopk-probing.json
    awk '/"batchtopk-(baseline|p1)-s[01].probing.mean": {/ { key = $1; sub(/^"batchtopk-/, "", key); sub(/".*/, "", key) }
        key && /"value"/ { if (key ~ /^baseline/) { v = $2; sub(/,/, "", v); base[substr(key, 10)] = v }
            else if (NR > FNR) { printf "      \"value\": %.12f,\n", base[substr(key, 4)] - 0.00001; key = ""; next } key = "" }
        NR > FNR { print }' $probing $probing >edited && cp edited $probing
    # And a loss in TPP that is told in the mean over n and at n 50, of which the scaffold's codes make up some.
    perturbed=all/results/documents/batchtopk-tpp.json
    awk 'function set(key, value, low, high) { of[key] = 1; v[key "value"] = value; v[key "low"] = low; v[key "high"] = high }
        BEGIN { for (s = 0; s < 2; s++) { set("batchtopk-baseline-s" s ".tpp.mean", 0.2, 0.1, 0.3); set("batchtopk-baseline-s" s ".tpp.n50", 0.2, 0.1, 0.3)
                p1 = "batchtopk-p1-s" s ".tpp."
                set(p1 "mean", 0.1 + s / 1000, 0, 0.2); set(p1 "n50", 0.1 + s / 1000, 0, 0.2); set(p1 "gain.mean", -0.1, -0.12, -0.08)
                set(p1 "gain.n50", -0.1, -0.12, -0.08); set(p1 "scaffold.mean", 0.15 + s / 1000, 0, 0.2)
                set(p1 "scaffold.gain.mean", -0.05, -0.06, -0.04); set(p1 "scaffold.over_latents.mean", 0.05 + s / 1000, 0.04, 0.06) } }
        /": {$/ { key = $1; gsub(/[":]/, "", key) }
        key in of && match($0, /"(value|low|high)"/) { sub(/: [^,]*/, ": " v[key substr($0, RSTART + 1, RLENGTH - 2)]) }
        { print }' $perturbed >edited && cp edited $perturbed
    sed -i '/"xxh3": \[/,/\]/d' all/parts/documents.json # what is made up is taken as it is
    expect "scaffold, a gain of nothing" 0 '' scaffold $everything --out all
    shows '; by itself worse at n 50'
    shows '; with the scaffold'"'"'s codes to ablate too -0.0495'
    shows 'not made up by the scaffold'"'"'s codes: with these to ablate too it is less of a loss'
    cp all_before/documents/batchtopk-tpp.json $perturbed
    shows '+0.0000 at equal k'
    if grep -q -e '-0\.0000 at' out; then not_ok "is not less than nothing" "$(grep -e '-0\.0000' out)"; else ok "is not less than nothing"; fi
    cp all_before/documents/batchtopk-probing.json $probing
    # The scaffold's own latents: the numbers of `lab redundancy` on its dictionary; nothing else is made anew.
    expect "scaffold, latents of its own" 0 '' scaffold $everything --ablate scaffold --out all --force
    anew=$(tr -d '\n' <all/run.json | grep -o '"[a-z0-9-]*": *{ *"seconds": *[0-9.]*, *"kept": false' | sed 's/"\([^"]*\).*/\1/' | sort | tr '\n' ' ')
    if [ "$anew" = "batchtopk-redundancy batchtopk-topics matryoshka-redundancy matryoshka-topics " ]; then
        ok "of the parts, redundancy and topics"
    else
        not_ok "of the parts, redundancy and topics" "$anew"
    fi
    own=all/dictionaries/batchtopk-p1-s0
    expect "lab redundancy of the scaffold's own" 0 '' lab redundancy --dict $own --scaffold-of $own --model tiny --text letters.jsonl --ctx 32 \
        --tokens 400 --ce-tokens 200 --points 2 --out own.json --quiet
    of() { tr -d ' \n' <"$1" | grep -o "\"$2\":{[^}]*}" | head -n 1; }
    for key in aligned.3 error.3 over_matched.3 aligned.64 aligned_over_reconstruction.3; do
        if [ -n "$(of own.json $key)" ] && [ "$(of own.json $key)" = "$(of all/results/batchtopk-redundancy/energy.json $key)" ]; then
            ok "the same $key"
        else
            not_ok "the same $key" "$(of own.json $key)" "$(of all/results/batchtopk-redundancy/energy.json $key)"
        fi
    done
    browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    dom() { # PAGE: as a browser has it, in `dom`; what it says of it in `console`
        timeout 60 "$browser" --headless --no-sandbox --disable-gpu --enable-logging=stderr --user-data-dir="$PWD/profile" --dump-dom "file://$PWD/$1" \
            >dom 2>console && grep -q '</html>' dom
    }
    if [ -n "$browser" ] && dom all/report.html; then
        if grep CONSOLE console; then not_ok "no message on its console"; else ok "no message on its console"; fi
        . "$root/tests/plots_drawn.sh"
        written=$(grep -o '<svg class="plot' all/report.html | wc -l)
        plots_copy all/report.html "$root/tests" >plots.html
        dom plots.html
        drawn=$(plots_found dom)
        if [ "$drawn" = "plots $written empty 0 broken 0" ] && [ "$written" -ge 45 ]; then
            ok "a browser draws every plot"
        else
            not_ok "a browser draws every plot" "$drawn of $written"
        fi
        plots_break all/report.html marks >broken.html # and would tell one that shows nothing
        plots_copy broken.html "$root/tests" >plots.html
        dom plots.html
        drawn=$(plots_found dom)
        if [ "$drawn" = "plots $written empty 1 broken 0" ]; then ok "an empty plot is seen"; else not_ok "an empty plot is seen" "$drawn"; fi
    else
        echo "SKIP: the whole report in a browser: there is no chromium"
    fi

    # ---- What is refused ----
    expect "probing, no data" 2 '--data' lab probing pair/baseline/sae $given
    expect "probing, data that is not there" 1 'nowhere' lab probing pair/baseline/sae $given --data nowhere
    expect "probing, a wrong column" 1 'no column "mark"' lab probing pair/baseline/sae $given --data data --label-name mark
    expect "probing, k out of order" 2 '--k' lab probing pair/baseline/sae $given --data data --k 5,2
    expect "probing, k over the width" 1 'to choose from' lab probing pair/baseline/sae $given --data data --k 65
    expect "probing, no dictionary" 2 'something is missing' lab probing
    expect "tpp, n that is none" 2 '--n' lab tpp pair/baseline/sae $given --data data --n 0
    expect "topics, both subspaces" 2 '--basis' lab topics --dict pair/scaffold/sae --basis x.npy $given --data data
    expect "topics, a dictionary without a scaffold" 1 'has no scaffold' lab topics --dict pair/baseline/sae $given --data data --label-name target
    expect "topics, MMLU's labels where there are none" 1 'category' lab topics $given --data data
    expect "scaffold, a set twice" 1 'give each set once' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out twice --rank 2 --width 64 \
        --k 4 --batch 64 --ctx 32 --tokens 3000 --rows 8192 --topics none --labelled data,data/three.csv --quiet
    if [ -e twice ]; then not_ok "and makes nothing"; else ok "and makes nothing"; fi
    sed '2s/a/b/' data/three.csv >data/more.csv # another set of as many documents
    expect "the plan of a run" 0 '' scaffold --plan --model tiny --text letters.jsonl --site resid_post.0 --topics none --labelled data
    shows "$(($(wc -l <data/three.csv) * 2 - 2)) documents"
    rm data/more.csv
    # Of a folder what cannot be divided, or is there twice, is passed over and told; by its own name it is refused.
    mkdir unfit && cp data/three.csv unfit/a.csv && cp data/three.csv unfit/b.csv && { cat data/three.csv && echo '"abcd","alone"'; } >unfit/c.csv
    sets="--model tiny --text letters.jsonl --site resid_post.0 --rank 2 --width 64 --k 4 --batch 64 --ctx 32 --tokens 3000 --rows 4096
        --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --topics none --quiet"
    expect "the plan of sets of which two are unfit" 0 '' scaffold --plan $sets --labelled unfit
    shows "$(($(wc -l <data/three.csv) - 1)) documents"
    shows 'unfit/c.csv: class "alone" has 1 documents'
    expect "scaffold, sets of which two are unfit" 0 '' scaffold $sets --labelled unfit --out unfit_run
    told=unfit_run/results/documents/batchtopk-probing.json
    if grep -q '"sets passed over": 2' $told && grep -q 'unfit/b.csv holds the documents of unfit/a.csv' $told && grep -q 'has 1 documents' $told; then
        ok "tells them"
    else
        not_ok "tells them" "$(head -c 600 $told)"
    fi
    expect "scaffold, the fit one alone" 0 '' scaffold $sets --labelled unfit/a.csv --out unfit_run --force
    same() { grep -A 3 'probing.k[15]": {' "$1"; }
    same $told >alone.txt
    expect "scaffold, all of them again" 0 '' scaffold $sets --labelled unfit --out unfit_run --force
    if [ -s alone.txt ] && same $told | cmp -s - alone.txt; then ok "and finds the same"; else not_ok "and finds the same" "$(cat alone.txt)"; fi
    expect "scaffold, an unfit set by its name" 1 'class "alone" has 1 documents' scaffold --plan $sets --labelled unfit/a.csv,unfit/c.csv
    rm unfit/a.csv unfit/b.csv
    expect "scaffold, unfit sets alone" 1 'no set of --labelled can be used' scaffold $sets --labelled unfit --out none
    expect "topics, a label set that is none" 2 'subjects' lab topics $given --data data --labels colours
    expect "probing --binary where no set is" 1 'exactly two classes' lab probing pair/baseline/sae $given --data data --binary
    sed 's/,z$/,y/' data/three.csv >data/two.csv
    expect "probing --binary" 0 '' lab probing pair/baseline/sae $given --data data --binary
    shows "data/two.csv"
    if grep -q three.csv out; then not_ok "--binary passes others over"; else ok "--binary passes others over"; fi
    rm data/two.csv
    head -c 100 data/three.csv >data/cut.csv
    expect "probing, a set that is cut" 1 'cut.csv' lab probing pair/baseline/sae $given --data data
}
