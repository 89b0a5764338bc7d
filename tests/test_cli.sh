#!/bin/sh
# test_cli.sh - the program as its users meet it: help, options, exit codes, bad files, nothing overwritten unasked.
set -u
root=$PWD
. ./tests/letters.sh
case $BUILD in
/*) sae=$BUILD/sae ;;
*) sae=$root/$BUILD/sae ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
HOME=$scratch/home # whatever the user has in ~/.cache/sae must not matter
export HOME
unset SAE_HOME
cd "$scratch" || exit 1
mkdir home

ok() { echo "ok $1"; }
not_ok() { # NAME DETAILS...
    echo "not ok $1"
    shift
    printf '%s\n' "$@"
    echo "--- exit code $code, standard output:"
    head -c 500 out
    echo "--- standard error:"
    head -c 1000 err
}
run() { # ARGUMENTS of sae
    "$sae" "$@" >out 2>err </dev/null
    code=$?
}
# Runs sae and demands an exit code, a text on standard error ('' none at all), and that an error writes no result.
expect() { # NAME CODE TEXT ARGUMENTS...
    name=$1 wanted=$2 text=$3
    shift 3
    run "$@"
    if [ "$code" -ne "$wanted" ]; then
        not_ok "$name" "expected exit code $wanted"
    elif [ -z "$text" ] && [ -s err ]; then
        not_ok "$name" "standard error should be empty"
    elif [ -n "$text" ] && ! grep -qF -e "$text" err; then
        not_ok "$name" "standard error should contain: $text"
    elif [ "$wanted" -ne 0 ] && [ -s out ]; then
        not_ok "$name" "standard output should be empty"
    else
        ok "$name"
    fi
}

"$sae" --help | sed -n 's/^  sae \(.\{14\}\) .*/\1/p' | sed 's/ *$//' >commands
[ -s commands ] || { code=0; : >err; "$sae" --help >out; not_ok "the help lists the commands"; }

# ---- The program itself ----
expect "--version" 0 '' --version
grep -q '^sae [0-9]*\.[0-9]*\.[0-9]*$' out && ok "--version names it" || not_ok "--version names it"
expect "no command" 2 'usage: sae COMMAND'
expect "help" 0 '' help
expect "help of a command" 0 '' help bench train
grep -q '^usage: sae bench train' out || not_ok "help of a command shows its usage"
expect "help of a family" 0 '' help bench
expect "help of what is none" 2 "unknown command 'nix'" help nix
expect "an unknown command" 2 "did you mean 'sae tokenize'" tokenise
expect "the help of a family" 0 '' bench --help
grep -q '^  sae bench train' out || not_ok "the help of a family lists it"
expect "an unknown one of a family" 2 "there is no 'bench tran'" bench tran
expect "an unknown option" 2 'did you mean --quiet' tokenize --quite
expect "too many threads" 2 '--threads' tokenize --threads 99999 x
expect "a malformed number" 2 'expected a whole number' tokenize --threads 3x x
expect "an option without its value" 2 'needs a value' tokenize --threads
expect "a flag with a value" 2 'takes no value' tokenize --quiet=1
SAE_ISA=bogus
export SAE_ISA
expect "an unknown instruction set" 2 'SAE_ISA=bogus' --version
unset SAE_ISA
if [ -w /dev/full ]; then
    "$sae" --help >/dev/full 2>err
    code=$?
    : >out
    if [ "$code" -eq 1 ] && grep -q 'standard output' err; then ok "a full disk"; else not_ok "a full disk"; fi
fi
"$sae" --man >out 2>err
code=$?
if cmp -s out "$root/docs/sae.1"; then ok "the man page says what --help says"; else not_ok "the man page: run 'make man'"; fi

# ---- Every command's help ----
: >all_options
: >all_examples
while read -r command; do
    # $command may be two words
    # shellcheck disable=SC2086
    expect "$command --help" 0 '' $command --help
    grep -q "^usage: sae $command" out && grep -q '^  sae ' out || not_ok "$command --help shows usage and examples"
    sed -n 's/^  --\([a-z0-9-]*\).*/\1/p' out | sort >known
    sed -n '/^Examples/,$p' out | tee -a all_examples | grep -oE ' --[a-z][a-z0-9-]*' | sed 's/^ --//' | sort -u >used
    if [ -z "$(comm -23 used known)" ]; then
        ok "$command: the examples use options that exist"
    else
        not_ok "$command: the examples use options that exist" "$(comm -23 used known)"
    fi
    if [ -z "$(uniq -d known)" ]; then ok "$command: no option twice"; else not_ok "$command: no option twice" "$(uniq -d known)"; fi
    grep '^  --' out | sed 's/ \[[^]]*\]$//' >>all_options
    # shellcheck disable=SC2086
    expect "$command, an unknown option" 2 'unknown option --no-such-thing' $command --no-such-thing
done <commands
# The words behind may differ (a default is a command's own), the kind of value may not.
for name in model text tokens ctx width k rank arch lr batch seed threads force json quiet; do
    grep -oE "^  --$name( [^ ]+)?  " all_options | sed 's/ *$//; s/\[,.*\]$//' | sort -u >kinds # N and N[,N] are one kind
    if [ "$(wc -l <kinds)" -le 1 ]; then
        ok "--$name takes the same value everywhere"
    else
        code=0
        not_ok "--$name takes the same value everywhere" "$(cat kinds)"
    fi
done

# ---- Models that are not ----
expect "a model that was not fetched" 3 'make fetch-model' tokenize smollm2 hello
printf 'GGUF' >four.gguf
printf 'not a model' >text.gguf
: >empty.gguf
printf 'GGUF\003\000\000\000\377\377\377\377\377\377\377\177\377\377\377\377\377\377\377\177' >huge.gguf
printf 'GGUF\143\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' >version.gguf
mkdir empty_folder half_folder
printf '{"model_type": "llama", "hidden_size": 64' >half_folder/config.json
printf '{"version": "1.0", "model": {"type": "BPE", "vocab": [' >tokenizer.json
for file in four.gguf text.gguf empty.gguf huge.gguf version.gguf empty_folder half_folder missing.gguf; do
    for command in info tokenize; do
        grep -qx "$command" commands || continue
        words=
        [ "$command" = tokenize ] && words=hello
        # shellcheck disable=SC2086
        expect "$command $file" 1 "$file" $command $file $words
    done
done
expect "a truncated tokenizer.json" 1 tokenizer.json tokenize tokenizer.json hello

# ---- tokenize ----
vocab=$root/data/tokenizers/smollm2-vocab.gguf
printf '%s\n' '{"text": "Hello w\u00f6rld  12"}' '' '{"text": "a<|im_start|>b\u0000", "more": [1]}' '{"text": ""}' >texts.jsonl
expect "tokenize --jsonl" 0 '' tokenize "$vocab" --jsonl texts.jsonl
printf '%s\n' '[19556, 267, 29989, 400, 256, 33, 34]' '[81, 1, 82, 190]' '[]' >expected
if cmp -s out expected; then ok "tokenize --jsonl gives the ids"; else not_ok "tokenize --jsonl gives the ids" "$(diff out expected)"; fi
expect "tokenize TEXT" 0 '' tokenize "$vocab" 'a
b'
printf '81\ta\n198\t\\n\n82\tb\n' >expected
if cmp -s out expected; then ok "tokenize shows ids and pieces"; else not_ok "tokenize shows ids and pieces" "$(diff out expected)"; fi
expect "tokenize, nothing to do" 2 'no text' tokenize "$vocab"
expect "tokenize, two things to do" 2 'not both' tokenize "$vocab" --jsonl texts.jsonl hello
expect "tokenize, no such file" 1 'no.jsonl' tokenize "$vocab" --jsonl no.jsonl
printf '{"text": 5}\n' >wrong.jsonl
expect "tokenize, text is no string" 1 'wrong.jsonl, line 1' tokenize "$vocab" --jsonl wrong.jsonl
printf '{"text": "a"\n' >wrong.jsonl
expect "tokenize, a broken line" 1 'wrong.jsonl, line 1' tokenize "$vocab" --jsonl wrong.jsonl
printf '\050\265\057\375garbage' >wrong.jsonl.zst
expect "tokenize, a broken .zst" 1 'wrong.jsonl.zst' tokenize "$vocab" --jsonl wrong.jsonl.zst
size=$(wc -c <"$vocab")
for part in 1 2 3 5 8 13 21 34 55 89 144 233 377 610 900 990 999; do
    head -c $((size * part / 1000)) "$vocab" >cut.gguf
    run tokenize cut.gguf hello
    if [ "$code" -ne 1 ] || ! grep -q 'cut.gguf' err; then
        not_ok "tokenize, a file cut at $part of 1000"
        part=failed
        break
    fi
done
[ "$part" = failed ] || ok "tokenize, a file cut at 17 places"

# ---- tap and lm: ids are run as they are, nothing is overwritten unasked ----
golden=$root/data/golden/models/gpt2
cp -r "$golden" model
make_npy() { # FILE SHAPE TYPE: the data follows on standard input
    header=$(printf "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" "$3" "$2")
    { printf '\223NUMPY\001\000v\000%-117s\n' "$header" && cat; } >"$1"
}
printf '\001\000\000\000\002\000\000\000\003\000\000\000\004\000\000\000' | make_npy ids.npy '(1, 4)' '<i4'
printf '\001\000\000\000\377\377\377\177\003\000\000\000\004\000\000\000' | make_npy far.npy '(1, 4)' '<i4'
printf '\001\000\000\000\377\377\377\377\003\000\000\000\004\000\000\000' | make_npy below.npy '(1, 4)' '<i4'
printf '\001\000\000\000\002\000\000\000\003\000\000\000' | make_npy short.npy '(1, 4)' '<i4'
head -c 16 ids.npy | make_npy floats.npy '(1, 4)' '<f4'
head -c 4000000 /dev/zero | make_npy long.npy '(1, 1000000)' '<i4'
site=blocks.0.hook_resid_post

expect "tap" 0 '' tap model --ids ids.npy --site $site --logits --out rows.safetensors --quiet
[ -s rows.safetensors ] && grep -aq "\"$site\"" rows.safetensors && grep -aq '"logits"' rows.safetensors
code=$?
if [ $code -eq 0 ]; then ok "tap names its tensors as asked"; else not_ok "tap names its tensors as asked"; fi
# The same ids in the other types that tokens are stored in, and what is no id in any of them.
while read -r type data; do
    # shellcheck disable=SC2059 # the data is a row of octal bytes
    printf "$data" | make_npy typed.npy '(1, 4)' "$type"
    expect "tap, ids of type $type" 0 '' tap model --ids typed.npy --site $site --logits --out typed.safetensors --quiet
    if cmp -s rows.safetensors typed.safetensors; then ok "are the same rows"; else not_ok "are the same rows"; fi
    rm -f typed.safetensors
done <<'END'
<u2 \001\000\002\000\003\000\004\000
<u4 \001\000\000\000\002\000\000\000\003\000\000\000\004\000\000\000
<i8 \001\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000\003\000\000\000\000\000\000\000\004\000\000\000\000\000\000\000
END
head -c 144 below.npy | tail -c 16 | make_npy typed.npy '(1, 4)' '<u4'
expect "tap, an id that takes 32 bits" 1 'token id 4294967295 at sequence 0, position 1' tap model --ids typed.npy --site $site --out x.safetensors
printf '\377\377' | make_npy typed.npy '(1, 1)' '<u2'
expect "tap, an id that takes 16 bits" 1 '65535' tap model --ids typed.npy --site $site --out x.safetensors
printf 'precious' >precious.safetensors
printf 'precious' >precious.npy
mkdir precious
printf 'precious' >precious/notes
unharmed() { # NAME
    for file in precious.safetensors precious.npy precious/notes; do
        [ "$(cat $file)" = precious ] || { not_ok "$1 leaves what is there" "$file has changed"; return; }
    done
    left=$(find . -name '*.tmp*')
    if [ -z "$left" ]; then ok "$1 leaves what is there"; else not_ok "$1 leaves what is there" "left behind: $left"; fi
}
expect "tap does not overwrite" 1 'precious.safetensors' tap model --ids ids.npy --site $site --out precious.safetensors
expect "lm does not overwrite" 1 'precious.npy' lm model --ids ids.npy --nll precious.npy
expect "tap, no --site" 2 '--site' tap model --ids ids.npy --out x.safetensors
expect "tap, no --ids" 2 '--ids' tap model --site $site --out x.safetensors
expect "tap, no --out" 2 '--out' tap model --site $site --ids ids.npy
expect "tap, a layer that is not there" 1 'blocks.99' tap model --ids ids.npy --site blocks.99.hook_resid_post --out x.safetensors
expect "tap, no such hook" 1 'hook_nothing' tap model --ids ids.npy --site blocks.0.hook_nothing --out x.safetensors
expect "tap, an id beyond the vocabulary" 1 '2147483647' tap model --ids far.npy --site $site --out x.safetensors
expect "tap, a negative id" 1 '-1' tap model --ids below.npy --site $site --out x.safetensors
expect "tap, a short file of ids" 1 'short.npy' tap model --ids short.npy --site $site --out x.safetensors
expect "tap, ids that are floats" 1 'floats.npy' tap model --ids floats.npy --site $site --out x.safetensors
expect "tap, longer than the model's context" 1 '1000000' tap model --ids long.npy --site $site --out x.safetensors
expect "tap, a folder that is not there" 1 'nowhere' tap model --ids ids.npy --site $site --out nowhere/x.safetensors
expect "lm" 0 '' lm model --ids ids.npy --nll nll.npy --quiet
[ "$(wc -c <nll.npy)" -eq $((128 + 3 * 4)) ]
code=$?
if [ $code -eq 0 ]; then ok "lm writes [1, 3] float32"; else not_ok "lm writes [1, 3] float32"; fi
unharmed "tap and lm"

# ---- A damaged model ----
damaged() { # NAME TEXT: `model` is damaged as NAME says
    expect "tap, $1" 1 "$2" tap model --ids ids.npy --site $site --out x.safetensors
    rm -rf model
    cp -r "$golden" model
}
head -c 3000 "$golden/model.safetensors" >model/model.safetensors
damaged "weights cut off" model.safetensors
rm model/model.safetensors
damaged "no weights" model
printf '{"model_type": "mamba"}' >model/config.json
damaged "an unknown architecture" mamba
sed 's/"n_embd": *[0-9]*/"n_embd": 48/' "$golden/config.json" >model/config.json
damaged "a config of another size" model
sed 's/"n_head": *[0-9]*/"n_head": 0/' "$golden/config.json" >model/config.json
damaged "no heads" heads
sed 's/"n_layer": *[0-9]*/"n_layer": 9223372036854775807/' "$golden/config.json" >model/config.json
damaged "layers without end" layer

# ---- train ----
rows=$golden/model.safetensors:transformer.wte.weight
grep -aq '"transformer.wte.weight"' "$golden/model.safetensors" || rows=$golden/model.safetensors:wte.weight
train() { # NAME CODE TEXT OPTIONS...: a small run
    name=$1 wanted=$2 text=$3
    shift 3
    expect "$name" "$wanted" "$text" train --array "$rows" --width 64 --k 4 --batch 16 --steps 20 --quiet "$@"
}
train "train" 0 '' --out run1
for file in run.json log.jsonl sae/cfg.json sae/sae_weights.safetensors; do
    [ -s "run1/$file" ] || not_ok "train writes $file"
done
train "train does not overwrite a run" 1 'run1' --out run1
train "train --force does" 0 '' --out run1 --force
# --force: dictionaries of the replaced run go where the new one does not make them, and nothing else does.
again() { # NAME OPTIONS...
    name=$1
    shift
    expect "$name" 0 '' train --array "$rows" --width 64 --batch 16 --steps 20 --quiet --out again "$@"
}
folders() { (cd again && find . -name checkpoints -prune -o \( -name cfg.json -o -name mine -o -name w64-k6-r0-s0 \) -print | sort | tr '\n' ' '); }
again "train, two in one folder" --k 4,5
mkdir -p again/own/sae again/w64-k6-r0-s0/sae && echo mine | tee again/own/sae/cfg.json again/w64-k5-r0-s0/mine >again/w64-k6-r0-s0/sae/cfg.json
again "train --force, others" --k 3,4 --force
[ "$(folders)" = "./own/sae/cfg.json ./w64-k3-r0-s0/sae/cfg.json ./w64-k4-r0-s0/sae/cfg.json ./w64-k5-r0-s0/mine ./w64-k6-r0-s0 ./w64-k6-r0-s0/sae/cfg.json " ] ||
    not_ok "what the new run does not make is gone, what was put there is not" "$(folders)"
again "train --force, a single one" --k 4 --force
[ "$(folders)" = "./own/sae/cfg.json ./sae/cfg.json ./w64-k5-r0-s0/mine ./w64-k6-r0-s0 ./w64-k6-r0-s0/sae/cfg.json " ] ||
    not_ok "the two of before are gone" "$(folders)"
again "train --force, two again" --k 4,5 --force
[ -e again/sae ] && not_ok "the single one is gone" "$(folders)"
sed 's/w64-k4-r0-s0/..\/run1/' again/run.json >record && mv record again/run.json
again "train --force, over a record that points elsewhere" --k 6,7 --force
[ -s run1/sae/cfg.json ] && [ -s again/w64-k4-r0-s0/sae/cfg.json ] && [ ! -e again/w64-k5-r0-s0/sae ] ||
    not_ok "only what lies in the folder goes" "$(folders)"
# What is nobody's run in the folders that are replaced is seen before the first step, also by a plan and by a run that goes on.
train "train, a run with files of its user's" 0 '' --out guarded --checkpoint-every 10
cp guarded/log.jsonl log.before
refused() { # FILE OPTIONS...: by train, which leaves all as it was
    file=guarded/$1
    shift
    echo mine >"$file"
    train "train $*, over $file" 1 "$file is none of a run's files, and the folder shall be replaced: move it elsewhere, or use" --out guarded "$@"
    [ -s "$file" ] && [ -d guarded/checkpoints/000000000020 ] && cmp -s guarded/log.jsonl log.before || not_ok "and it is there, and the run"
    rm -f "$file"
}
for place in checkpoints checkpoints/000000000020 sae; do
    refused $place/mine --force
    refused $place/mine --force --plan
done
refused sae/mine --resume
mkdir guarded/w64-k4-r0-s0 && mkdir guarded/w64-k4-r0-s0/sae
refused w64-k4-r0-s0/sae/mine --force --k 5
# Without its record a run is neither gone on with nor replaced: every way says the same, and none leads to another.
mv guarded/run.json record
for way in --quiet --resume --force "--force --plan"; do
    # shellcheck disable=SC2086
    train "train $way, a run without its record" 1 'but no run.json, which says of what run' --out guarded $way
    grep -qE 'use --resume|--force|leave out' err && not_ok "and it leads nowhere else" "$(cat err)"
done
mv record guarded/run.json
mkdir guarded/checkpoints/000000000015.tmp.1 && : >guarded/checkpoints/000000000015.tmp.1/state.json.tmp.1
train "train --force, over what a killed run left" 0 '' --out guarded --force
train "train into a folder with other things" 0 '' --out precious
train "train, k over the width" 2 'k 65' --out x --k 65
expect "train, k of one of several over the width" 2 'w64-k65-r0-s0: k 65' train --array "$rows" --width 64 --k 4,65 --out x --quiet
expect "train, several that diverge" 1 ': w64-k4-r0-s0: ' train --array "$rows" --width 64 --k 4,5 --batch 16 --steps 20 --lr 1e30 --grad-clip 0 --out diverged --quiet
train "train, rank over d_in" 2 'rank 65' --out x --rank 65
train "train, a learning rate of 0" 2 'lr 0' --out x --lr 0
train "train, no steps" 2 'steps 0' --out x --steps 0
train "train, a tie that begins at W_up = 0" 2 'random-both' --out x --rank 2 --scaffold-tie orthonormal
train "train, a learning rate of 0 for the scaffold" 2 '--scaffold-freeze' --out x --rank 2 --scaffold-lr 0
train "train, W_up = 0 by its older name" 0 '' --out older --rank 2 --scaffold-start random
train "train, W_up = 0 and rate 1" 0 '' --out newer --rank 2 --scaffold-start zero --scaffold-lr 1 --scaffold-centre b_dec
cmp -s older/sae/sae_weights.safetensors newer/sae/sae_weights.safetensors || not_ok "and is the same"
train "train, resumed by another start" 1 '"scaffold_pca" (--scaffold-start; what that calls zero is "random" in records): resume' --out newer \
    --rank 2 --scaffold-start pca --resume
train "train, every choice of a scaffold" 0 '' --out chosen --rank 2 --scaffold-start random-both --scaffold-centre own \
    --scaffold-tie transpose --scaffold-lr 0.5 --scaffold latents
grep -q '"scaffold_centre": "own"' chosen/run.json && grep -q '"scaffold_tie": "transpose"' chosen/run.json &&
    grep -q '"scaffold_lr": 0.5' chosen/run.json || not_ok "and run.json says them" "$(cat chosen/run.json)"
train "train, no such arch" 2 'batchtopk' --out x --arch topc
train "train, no rows" 1 'nothing.npy' --out x --array nothing.npy
train "train, a tensor that is not there" 1 'nothing' --out x --array "$golden/model.safetensors:nothing"
train "train, groups that do not sum to 1" 2 'groups' --out x --arch matryoshka --groups 0.5,0.1
train "train, a learning rate that is none" 2 '--lr' --out x --lr nan
train "train, a threshold whose average never began" 0 'the last step kept' --out early --threshold-start-step 1000
grep -q '"sae_threshold_from": "last step"' early/sae/cfg.json || not_ok "and cfg.json says where it is from" "$(cat early/sae/cfg.json)"
expect "train, no --out" 2 '--out' train --array "$rows"
expect "train, no rows named" 2 '--array' train --out x
# Options that could do nothing are refused with the reason; where one of the dictionaries feels them they are not.
printf '%s\n' \
    'text|--text X' 'site|--site blocks.0.hook_resid_post' 'ctx|--ctx 64' 'separator|--separator 1' 'max-norm|--max-norm 9' \
    'buffer|--buffer 64' 'rows|--rows 100' 'k|--arch standard' 'k|--arch jumprelu --l0 linear --first-threshold 0.1' \
    'l1-coefficient|--l1-coefficient 1' 'variant|--variant p2' 'scaffold-start|--scaffold-start pca' \
    'scaffold-centre|--scaffold-centre own' 'scaffold-tie|--scaffold-tie transpose' 'scaffold-lr|--scaffold-lr 2' \
    'scaffold-lr|--scaffold-lr 2 --rank 2 --scaffold-start pca --scaffold-freeze' \
    'scaffold-steps|--scaffold-steps 5' 'scaffold-freeze|--scaffold-freeze' 'scaffold|--scaffold latents' \
    'scaffold-last|--scaffold-last --rank 2' 'scaffold-last|--scaffold-last --arch matryoshka' 'skip|--skip' \
    'groups|--groups 0.5,0.5' 'levels|--levels sum' 'warmup-from|--warmup-from one --warmup-steps 0' \
    'sparsity-warmup-steps|--sparsity-warmup-steps 5' 'k-anneal-start|--k-anneal-start 9' \
    'k-anneal-start|--k-anneal-start 3 --k-anneal-steps 5' \
    'threshold-start-step|--threshold-start-step 3 --threshold-from zero' 'auxk-k|--auxk-k 3 --auxk-alpha 0' \
    'auxk-rule|--auxk-rule plain --auxk-alpha 0' 'l1|--l1 norms' 'l0|--l0 linear' 'l0-rate|--l0-rate 1' \
    'l0-rate|--l0-rate 1 --arch jumprelu --l0 linear' 'bandwidth|--bandwidth 1' 'first-threshold|--first-threshold 1' \
    'gate-trains|--gate-trains decoder' 'adam-beta2|--adam-beta2 0.9 --optimiser signum' \
    'adam-eps|--adam-eps 1e-6 --optimiser signum' 'grad-clip|--grad-clip 1 --optimiser signum' \
    'decay-start|--decay-start 100000' \
    'decay-start|--decay-start 1001 --steps 1000' 'resample-every|--resample-every 1000 --steps 1000' \
    'exact-codes|--exact-codes' 'exact-codes|--exact-codes --screen' \
    'exact-codes|--exact-codes --arch topk' 'screen|--screen --arch topk' 'keep|--keep 2' >in_vain
for option in select-by=norm k-anneal-steps=5 threshold-beta=0.9 threshold-from=zero auxk-alpha=1; do
    echo "${option%=*}|--arch jumprelu --$option" >>in_vain
done
while IFS='|' read -r option given; do
    # shellcheck disable=SC2086
    train "in vain: $given" 2 "--$option would do nothing: " --out vain $given
    grep -qE '[:;] (give|leave) .*[,;] or leave --' err || not_ok "in vain: $given: what else to do" "$(cat err)"
done <in_vain
for given in "--recipe saelens" "--select-by norm" "--encoder-dtype bf16"; do
    # shellcheck disable=SC2086
    train "in vain: --no-screen $given" 2 "--no-screen would do nothing: only the f32 product" --out vain --no-screen $given
done
for given in 'screen|--screen --arch topk' 'screen|--screen --arch gated' 'exact-codes|--exact-codes --arch standard' \
    'exact-codes|--exact-codes --screen' 'dead|--dead 0.3 --arch gated' 'at-start|--at-start' 'at-start|--at-start --arch topk'; do
    # shellcheck disable=SC2086
    expect "bench, in vain: ${given#*|}" 2 "--${given%%|*} would do nothing: " bench train --d-in 16 --width 256 --batch 40 --k 4 --pairs 1 ${given#*|}
done
train "no checkpoint kept" 2 'give at least 1' --out vain --checkpoint-every 5 --keep 0
[ -e vain ] && not_ok "what is refused makes nothing"
d_in=$(sed -n 's/.*"d_in": \([0-9]*\).*/\1/p' run1/sae/cfg.json)
expect "a k that has nowhere to fall from" 2 '--k-anneal-steps would do nothing: ' train --array "$rows" --width 64 \
    --k "$d_in" --batch 16 --steps 20 --quiet --k-anneal-steps 5 --out vain
expect "one that falls by 1" 0 '' train --array "$rows" --width 64 --k $((d_in - 1)) --batch 16 --steps 20 --quiet \
    --k-anneal-steps 5 --out fallen
# A recipe has a batch, which the user's goes before.
for given in "saebench 2048" "dictionary_learning 2048" "saelens 4096" "sparsify 65536" "openai 131072" "openai 48 --batch 48"; do
    # shellcheck disable=SC2086
    set -- $given
    name=$1 batch=$2
    shift 2
    says=
    [ "$name" = dictionary_learning ] && says='the learning rate grows for 1000 steps and the run has 1' # the only one that warms up
    expect "batch of $given" 0 "$says" train --array "$rows" --arch topk --width 64 --k 4 --steps 1 --quiet --recipe "$name" "$@" --out batch --force
    grep -q "\"batch\": *$batch[,}]" batch/run.json || not_ok "batch of $given is $batch" "$(grep batch batch/run.json)"
done
expect "rows of a recipe's batch" 0 "3 steps of the recipe's 4096 rows are few" train --array "$rows" --width 64 --k 4 --rows 10k --recipe saelens --plan --quiet
grep -q '3 steps of 4096 rows' out || not_ok "and their steps" "$(cat out)"
# Of a family that whose recipe it is does not train.
for of in openai sparsify; do
    for command in train sweep; do
        expect "$command, $of's recipe for another family" 0 "--recipe $of trains topk and nothing else: what it sets is taken for gated" \
            $command --array "$rows" --arch gated --width 64 --batch 16 --steps 20 --recipe $of --plan --quiet
    done
done
# At the bounds of what is refused: the last ones that act, and what says that nothing shall.
for given in "--decay-start 20" "--decay-start 19" "--resample-every 19" "--resample-every 0" "--k-anneal-steps 0" \
    "--k-anneal-steps 5" "--no-screen --exact-codes"; do
    # shellcheck disable=SC2086
    expect "felt: $given" 0 '' train --array "$rows" --width 64 --k 4 --batch 16 --steps 20 --quiet --out bounds --force $given
done
for command in train sweep; do
    expect "$command, an option for one of two ranks" 0 '' $command --array "$rows" --width 64 --k 4 --batch 16 --steps 20 \
        --quiet --rank 0,2 --variant p2 --scaffold latents --out "felt_$command"
    expect "$command, an option for neither" 2 '--variant would do nothing' $command --array "$rows" --width 64 --k 4 \
        --quiet --rank 0 --variant p2 --out vain
done
unharmed "train"
train "train again" 0 '' --out run2
if cmp -s run1/sae/sae_weights.safetensors run2/sae/sae_weights.safetensors; then
    ok "the same run gives the same bytes"
else
    not_ok "the same run gives the same bytes"
fi

# ---- train: what stops a run, and that it goes on ----
same() { # NAME FILE FILE
    if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$2 and $3 differ"; fi
}
says() { # NAME PATTERN: on standard error
    if grep -qE -e "$2" err; then ok "$1"; else not_ok "$1" "standard error should match: $2"; fi
}
# The rows of tap, and the same with a NaN in row 100.
awk 'BEGIN { srand(2); for (i = 0; i < 256; i++) printf "\\%03o\\000\\000\\000", int(rand() * 90) }' >bytes
# shellcheck disable=SC2059
printf "$(cat bytes)" | make_npy many.npy '(64, 4)' '<i4'
run tap model --ids many.npy --site $site --out tapped.safetensors --quiet
tail -c 65536 tapped.safetensors | make_npy fine.npy '(256, 64)' '<f4'
cp fine.npy nan.npy
printf '\000\000\300\177' | dd of=nan.npy bs=1 seek=$((128 + 4 * (100 * 64 + 3))) conv=notrunc 2>dd.err
small_run="--width 64 --k 4 --batch 16 --steps 100 --checkpoint-every 1"
# shellcheck disable=SC2086
{
    expect "train, rows as tap gives them" 0 '' train --array fine.npy --out fine $small_run --quiet
    expect "train, a row that is not finite" 1 'nan.npy: row 100 holds' train --array nan.npy --out nan $small_run --quiet
}
step=$(sed -n 's/^sae train: step \([0-9]*\), rows .*/\1/p' err)
says "it names the rows of the step" "rows $((16 * step)) to $((16 * step + 15)) of the stream"
says "it names the last good checkpoint" "nan/checkpoints/$(printf %012d "$step")"
grep -q 'To go on' err && not_ok "a row that is not finite would be so again"
[ -d "nan/checkpoints/$(printf %012d "$step")" ] || not_ok "the checkpoint is there"
head -n "$(wc -l <nan/log.jsonl)" fine/log.jsonl >cut.jsonl
same "the steps before it are those of a run without it" nan/log.jsonl cut.jsonl
awk 'BEGIN { for (i = 0; i < 10; i++) for (j = 0; j < 16; j++) printf "\\%03o\\000\\000\\000", i == 7 && j == 5 ? 100 : i == 7 && j == 9 ? 101 : (i * 16 + j) % 90 }' >bytes
# shellcheck disable=SC2059
printf "$(cat bytes)" | make_npy order.npy '(10, 16)' '<i4'
expect "train in an order, a row that is not finite" 1 'row 100 of the array, row 5 of the batch' train \
    --array nan.npy --order order.npy --width 64 --k 4 --out nan_order --quiet
says "it names the step" '^sae train: step 7, rows 112 to 127 '
# Row 100 with an entry of 2^100, in place of the NaN, and row 101, of the same batch, with one of 2^90.
cp fine.npy far.npy
printf '\000\000\200\161' | dd of=far.npy bs=1 seek=$((128 + 4 * (100 * 64 + 3))) conv=notrunc 2>dd.err
printf '\000\000\200\154' | dd of=far.npy bs=1 seek=$((128 + 4 * (101 * 64 + 3))) conv=notrunc 2>>dd.err
expect "train, a row that is far too large" 1 'Row 5 of this batch reaches 1.27e+30' train --array far.npy --order order.npy --width 64 \
    --k 4 --scale-input none --out far --quiet
says "it is not the learning rate, and the step is named once" '^sae train: step 7, rows 112 to 127 of the stream: the loss is .* not the learning rate'
[ "$(grep -o 'step 7[,:]' err | wc -l)" -eq 1 ] || not_ok "and names it once" "$(cat err)"
# Rows that do not vary leave no variance to explain: no FVU, and not one of 0.
awk 'BEGIN { for (i = 0; i < 1024; i++) printf "\\000\\000\\300\\077" }' >bytes
# shellcheck disable=SC2059
printf "$(cat bytes)" | make_npy same.npy '(64, 16)' '<f4'
awk 'BEGIN { srand(3); for (i = 0; i < 1024; i++) printf "\\%03o\\002\\000\\000", int(rand() * 90) }' >bytes
# shellcheck disable=SC2059
printf "$(cat bytes)" | make_npy tiny.npy '(64, 16)' '<f4'
for few in same tiny; do
    run train --array $few.npy --width 16 --k 2 --batch 32 --steps 4 --out flat_$few --quiet
    [ $code -eq 0 ] && grep -q '"fvu":null' flat_$few/log.jsonl && ! grep -q '"fvu":[0-9]' flat_$few/log.jsonl && grep -q '  *undefined  ' out ||
        not_ok "train, $few rows: no FVU" "$(cat out flat_$few/log.jsonl)"
    [ "$(grep -c 'FVU is undefined' err)" -eq 1 ] || not_ok "train, $few rows: it is warned of, once" "$(cat err)"
done
expect "sweep, rows that are all the same" 0 'had not begun' sweep --array same.npy --width 16 --k 2 --batch 32 --steps 4 --out same_sweep --quiet
grep -q '"fvu": null' same_sweep/results.json && grep -q '  *undefined  ' out || not_ok "sweep, rows that are all the same: no FVU" "$(cat out)"
train "train, a learning rate that explodes" 1 'diverged' --out exploded --lr 1e37 --warmup-steps 0 --checkpoint-every 1
step=$(sed -n 's/^sae train: step \([0-9]*\)[,:].*/\1/p' err)
says "it names the step that diverged" '^sae train: step [0-9]+[,:]'
[ "$(grep -o "step $step[,:]" err | wc -l)" -eq 1 ] || not_ok "and names it once"
if [ "$(ls exploded/checkpoints 2>/dev/null | wc -l)" -gt 0 ]; then
    says "its last checkpoint is named" "exploded/checkpoints/$(ls exploded/checkpoints)"
else
    says "it says that there is no checkpoint" 'no checkpoint was written yet$'
fi
expect "train, a penalty that explodes" 1 'a lower --lr (now 0.001) or --l1-coefficient (now 1e+30) may help; no checkpoint was written yet (--checkpoint-every N)' \
    train --array "$rows" --width 64 --batch 16 --steps 20 --quiet --out exploded_penalty --arch standard --l1-coefficient 1e30 --lr 0.001 --warmup-steps 0

# An L0 over the columns of a row is what only jumprelu can be told to aim at; it is warned.
aims="--array fine.npy --width 256 --batch 32 --steps 4 --quiet"
# shellcheck disable=SC2086
{
    expect "jumprelu, a k over d_in" 0 'aims at an L0 of 65, and a row has 64 columns' train $aims --arch jumprelu --k 65 --out aims
    expect "a sweep to it" 0 'jumprelu-w256-k65-r0-s0 aims at an L0 of 65' sweep $aims --arch jumprelu --k 64,65 --out aims_sweep
    run train $aims --arch jumprelu --k 64 --out aims_d_in
    if grep -q 'aims at' err; then not_ok "a k of d_in is not warned of" "$(cat err)"; else ok "a k of d_in is not warned of"; fi
}
# Before anything was trained no rate is to blame, whatever the warm-up.
for start in "--scale-input 1e-30" "--scale-input 1e-30 --warmup-steps 0" "--decoder-norm 1e30 --scale-input none" "--decoder-norm 1e30"; do
    # shellcheck disable=SC2086
    train "train, $start" 1 'nothing was trained yet' --out "begun_badly$start" $start
    case $start in
    *--scale-input*) says "it says what fits" '^sae train: step 0, .* are divided by .*--scale-input unit, .* may help' ;;
    *) # rows are of unit scale already
        says "it says what fits" '^sae train: step 0, .* are divided by .*; another --decoder-norm or --encoder-norm may help'
        ;;
    esac
    if grep -q -e 'lower --lr' -e '-nan' err; then not_ok "it advises another rate, or tells a sign of what is no number" "$(cat err)"; fi
done
# Nor when its scaffold alone was trained; where that diverges, it is the training.
staged="--rank 2 --scaffold-start random-both --scaffold-steps 3"
# shellcheck disable=SC2086
{
    train "train, a dictionary that begins badly behind its scaffold" 1 'nothing was trained yet but its scaffold' --out begun_late $staged --decoder-norm 1e30
    says "it says what fits" '^sae train: step 3, .* what the dictionary begins with: .*; another --decoder-norm or --encoder-norm may help'
    train "train, a scaffold that diverges" 1 'it is the training that diverged' --out scaffold_diverged $staged --scaffold-lr 1e30
    says "it says when" '^sae train: step [12], '
    says "it names the scaffold's own rate" 'or --scaffold-lr \(now 1e\+30\) may help'
}
# Weights that were given are what the run begins with: one of 3e38 in each matrix, the rest 0.
{
    printf '\310\000\000\000\000\000\000\000'
    printf '%-200s' '{"W_enc":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]},"W_dec":{"dtype":"F32","shape":[64,64],"data_offsets":[16384,32768]}}'
    head -c 32768 /dev/zero
} >given.safetensors
for at in 208 16592; do printf '\346\261\141\177' | dd of=given.safetensors bs=1 seek=$at conv=notrunc 2>>dd.err; done
train "train, given weights that are too large" 1 'the weights of --init reach 3e+38; other weights or another --scale-input may help' \
    --out begun_given --init given.safetensors --scale-input none
# A scale under which the squares of all rows vanish would leave a run that learns nothing and says so nowhere.
train "train, rows that are scaled to nothing" 1 'divided by 1e+30: float32 cannot hold the squares' --out vanished --scale-input 1e30
train "train, a weight of AuxK that explodes" 1 'or --auxk-alpha (now 3e+38) may help' --out exploded_auxk --auxk-alpha 3e38 --dead-tokens 16

# Signals: stopped by one, continued, the same bytes as a run left alone.
long_run="--array $rows --width 256 --k 4 --rank 2 --batch 64 --steps 3000 --log-every 7 --dead-tokens 2000 --quiet"
# shellcheck disable=SC2086
expect "train, undisturbed" 0 '' train $long_run --out whole
until_logged() { # STEPS FOLDER: waits until a run there has logged so many, half a minute at most
    tries=0
    while [ "$(cat "$2/log.jsonl" 2>/dev/null | wc -l)" -lt "$1" ] && [ $tries -lt 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
}
stop() { # SIGNAL FOLDER: starts the long run there and stops it in the middle
    # shellcheck disable=SC2086
    env --default-signal=INT,TERM "$sae" train $long_run --out "$2" >out 2>err </dev/null & # a script's background ignores INT
    pid=$!
    until_logged 20 "$2"
    kill "-$1" $pid
    wait $pid
    code=$?
}
# No thread that computes may run a handler (src/cli/interrupt.c): both signals are blocked in all but the one that waits for them.
# shellcheck disable=SC2086
"$sae" train $long_run --out masked >out 2>err </dev/null &
pid=$!
until_logged 1 masked
open=0 threads=0
for task in /proc/$pid/task/*/status; do
    mask=$(sed -n 's/^SigBlk:[[:space:]]*//p' "$task")
    threads=$((threads + 1))
    case $mask in *[4567cdef]??[2367abef]) ;; *) open=$((open + 1)) ;; esac # bit 14: SIGTERM, bit 1: SIGINT
done
kill -TERM $pid
wait $pid
# An array that is cut off under a run that reads it.
cp fine.npy shrinks.npy
# shellcheck disable=SC2086
"$sae" train --array shrinks.npy --width 64 --k 4 --batch 16 --steps 100000000 --out shrinks >out 2>err </dev/null &
shrinking=$!
until_logged 1 shrinks
truncate -s 128 shrinks.npy
wait $shrinking
code=$?
says "a file that is cut short while it is read is named" '^sae: shrinks.npy was cut short by another program'
[ $code -eq 1 ] || not_ok "and the run ends with 1" "exit code $code"
if [ $threads -ge 2 ] && [ $open -eq 1 ]; then ok "signals are blocked where it computes"; else not_ok "signals are blocked where it computes" "$open of $threads threads"; fi
for signal in INT TERM; do
    stop $signal "stopped_$signal"
    if [ $code -eq 1 ]; then ok "SIG$signal ends a run with 1"; else not_ok "SIG$signal ends a run with 1"; fi
    says "SIG$signal: a checkpoint is named" "stopped on request after step [0-9]+ of 3000; stopped_$signal/checkpoints/[0-9]+ holds"
    says "SIG$signal: how to go on" "^  sae train .*--out stopped_$signal --resume\$"
    command=$(sed -n 's/^  sae //p' err)
    # shellcheck disable=SC2086
    expect "SIG$signal: the command that is named works" 0 '' $command
    same "SIG$signal: continued to the same weights" "stopped_$signal/sae/sae_weights.safetensors" whole/sae/sae_weights.safetensors
    same "SIG$signal: and the same log" "stopped_$signal/log.jsonl" whole/log.jsonl
done
# A log that somebody removed, or cut at its beginning, lacks what was before, and that is told; a whole one is not spoken of.
# shellcheck disable=SC2086
{
    run train $long_run --out stopped_INT --resume
    if [ $code -eq 0 ] && ! grep -q 'log.jsonl' err; then ok "a finished run again"; else not_ok "a finished run again" "$(cat err)"; fi
    cp -r stopped_INT lacks
    sed -i 1d lacks/log.jsonl
    expect "a run whose log is cut" 0 'lacks/log.jsonl' train $long_run --out lacks --resume
    says "is told what it lacks" 'lacks/log.jsonl does not begin with step 0: .* lack steps before 3000'
    rm lacks/log.jsonl
    expect "a run whose log is gone" 0 'lacks/log.jsonl' train $long_run --out lacks --resume
    says "is told, too" 'lacks/log.jsonl does not begin with step 0: .* lack steps before 3000'
    cp -r stopped_INT spoilt
    sed -i '5s/.*/spoilt/' spoilt/log.jsonl
    expect "a run whose log is damaged" 0 'spoilt/log.jsonl: line 5 is damaged, and the log was cut there' train $long_run --out spoilt --resume
    [ "$(wc -l <spoilt/log.jsonl)" -eq 4 ] || not_ok "and it was" "$(head -n 6 spoilt/log.jsonl)"
}
# What was ignored when the program was begun (nohup, trap '' INT, the background of a script) stays so.
# shellcheck disable=SC2086
env --ignore-signal=INT,TERM "$sae" train $long_run --out ignores >out 2>err </dev/null &
pid=$!
until_logged 20 ignores
for signal in INT TERM INT TERM; do kill -$signal $pid; done
wait $pid
code=$?
if [ $code -eq 0 ]; then ok "signals that were ignored stay ignored"; else not_ok "signals that were ignored stay ignored" "exit code $code"; fi
same "and the run has the same log" ignores/log.jsonl whole/log.jsonl
tail -n 1 whole/log.jsonl | grep -q '"died":[1-9][0-9]*,"revived":[0-9]' && grep -q '"rows_per_s":[1-9]' whole/time.jsonl
code=$?
if [ $code -eq 0 ]; then ok "the log counts deaths, time.jsonl rows a second"; else not_ok "the log counts deaths, time.jsonl rows a second" "$(tail -n 1 whole/log.jsonl)"; fi

# ---- sweep ----
sweep="--array fine.npy --width 64,96 --k 4 --rank 0,2 --seed 1,2 --batch 32 --steps 200 --quiet"
# shellcheck disable=SC2086
{
    expect "sweep" 0 '' sweep $sweep --out sweep
    cp out whole.table
    [ "$(grep -vc '^note: ' out)" -eq 9 ] && grep -q '^w96-k4-r2-s1  ' out || not_ok "sweep prints a table" "$(cat out)"
    [ -s sweep/report.html ] && [ -s sweep/w64-k4-r2-s2/sae/cfg.json ] && [ -d sweep/groups/001 ] && [ ! -d sweep/groups/002 ] || not_ok "sweep leaves its results"
    [ -d sweep/groups/001/checkpoints ] && not_ok "sweep removes the checkpoints of a finished group"
    expect "sweep again has nothing to do" 0 '' sweep $sweep --out sweep
    same "and gives the same table" out whole.table
    expect "sweep in little memory" 0 '' sweep $sweep --out parts --memory 11M
    [ -d parts/groups/002 ] || not_ok "sweep in little memory makes several groups"
    same "sweep in groups gives the same table" out whole.table
    same "and the same weights" parts/w96-k4-r2-s2/sae/sae_weights.safetensors sweep/w96-k4-r2-s2/sae/sae_weights.safetensors
    expect "sweep in no memory" 1 'alone takes' sweep $sweep --out nothing --memory 100k
    expect "sweep with another recipe" 1 'another "lr"' sweep $sweep --out sweep --lr 0.5
    expect "sweep with a k over the width" 2 'k 80' sweep $sweep --out x --k 80
    expect "sweep of a run's folder" 1 'no sweep.json' sweep $sweep --out run1
    expect "sweep --json" 0 '' sweep $sweep --out sweep --json
    head -c 1 out | grep -q '{' || not_ok "sweep --json prints an object"
    expect "a sweep that grows" 0 '' sweep $sweep --seed 3 --out sweep
    [ "$(grep -vc '^note: ' out)" -eq 13 ] && [ -d sweep/groups/002 ] || not_ok "a sweep that grows" "$(cat out)"
}
# One of three diverges: it is set aside, and the others end as they do without it.
uneven="--array fine.npy --arch standard --width 64 --batch 32 --steps 100 --checkpoint-every 10 --quiet"
# shellcheck disable=SC2086
{
    run sweep $uneven --l1-coefficient 0.1,1e38,0.2 --out uneven
    [ "$code" -eq 1 ] && grep -q '^sae sweep: 1 of 3 dictionaries diverged (standard-w64-l1e+38-r0-s0)' err && grep -q '^standard-w64-l1e+38-r0-s0  diverged$' out &&
        ok "sweep, one that diverges" || not_ok "sweep, one that diverges"
    grep -q '"diverged": "step [0-9]*,' uneven/standard-w64-l1e+38-r0-s0/result.json || not_ok "its result says why"
    expect "sweep, those that do not" 0 '' sweep $uneven --l1-coefficient 0.1,0.2 --out even
    same "have the same weights" uneven/standard-w64-l0.2-r0-s0/sae/sae_weights.safetensors even/standard-w64-l0.2-r0-s0/sae/sae_weights.safetensors
    run sweep $uneven --l1-coefficient 0.1,1e38,0.2 --out uneven
    [ "$code" -eq 1 ] && ! grep -q 'set aside' err && ok "nor is it begun again" || not_ok "nor is it begun again"
}
long_sweep="--array fine.npy --width 256 --k 4 --rank 0,2 --batch 64 --steps 1500 --log-every 7 --quiet"
# shellcheck disable=SC2086
{
    expect "sweep, undisturbed" 0 '' sweep $long_sweep --out calm
    cp out calm.table
    "$sae" sweep $long_sweep --out shaken >out 2>err </dev/null &
    pid=$!
    tries=0
    while [ "$(cat shaken/groups/001/log.jsonl 2>/dev/null | wc -l)" -lt 40 ] && [ $tries -lt 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -KILL $pid
    wait $pid
    [ -f shaken/results.json ] && not_ok "the sweep was killed too late"
    expect "sweep, killed and begun again" 0 '' sweep $long_sweep --out shaken
    same "a killed sweep ends on the same table" out calm.table
    same "on the same log" shaken/groups/001/log.jsonl calm/groups/001/log.jsonl
    same "and on the same weights" shaken/w256-k4-r2-s0/sae/sae_weights.safetensors calm/w256-k4-r2-s0/sae/sae_weights.safetensors
}

# ---- What goes wrong ----
expect "a run to be resumed" 0 '' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out complete --quiet
expect "a complete run is resumed" 0 'complete  all 3 steps were done already' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out complete --resume
expect "resumed with another k" 1 'another "k"' train --array fine.npy --width 64 --k 5 --batch 64 --steps 3 --out complete --resume
grep -q 'To go on' err && not_ok "what would fail again is not advised"
mkdir -p unborn && cp complete/run.json unborn
small="--array fine.npy --width 64 --k 4 --batch 64 --steps 3 --quiet"
groups="--array fine.npy --arch matryoshka --width 64 --k 4 --batch 64 --steps 3 --quiet"
# shellcheck disable=SC2086
{
    expect "resumed before a checkpoint with another k" 1 'begun with other "dictionaries"' train $small --k 5 --out unborn --resume
    expect "resumed before a checkpoint with another lr" 1 'begun with other "lr"' train $small --lr 0.5 --out unborn --resume
    expect "resumed before a checkpoint" 0 'holds no checkpoint' train $small --out unborn --resume
    same "and is the same run" unborn/sae/sae_weights.safetensors complete/sae/sae_weights.safetensors
    # What an older version's recipe had is no option of its command.
    expect "begun by another constant" 0 '' train $small --arch topk --recipe sparsify --encoder-norm 0 --out constant
    expect "resumed by the recipe's" 1 'another "encoder_norm" (--encoder-norm; if the options are those of then, a version of this program' \
        train $small --arch topk --recipe sparsify --out constant --resume
    rm -r constant/checkpoints
    expect "and without a checkpoint" 1 'other "encoder_norm" (--encoder-norm; if' train $small --arch topk --recipe sparsify --out constant --resume
    expect "resumed by its own" 0 'holds no checkpoint' train $small --arch topk --recipe sparsify --encoder-norm 0 --out constant --resume
    expect "weights in other units" 2 'init takes weights for rows as they are' train $small --init complete/sae/sae_weights.safetensors: --out inited
    expect "groups by shares" 0 '' train $groups --groups 0.25,0.75 --out shares
    expect "groups by their ends" 0 '' train $groups --groups 16,64 --out ends
    same "are the same" shares/sae/sae_weights.safetensors ends/sae/sae_weights.safetensors
    expect "the last group is the rest" 0 '' train $groups --groups 16 --out rest
    same "and the same too" rest/sae/sae_weights.safetensors ends/sae/sae_weights.safetensors
    expect "a scaffold that topk cannot export" 2 'would compete' train $small --arch topk --rank 2 --scaffold latents --out none
    expect "more rows than can be counted" 2 'at most 2^50 rows' train --array fine.npy --width 64 --k 4 --steps 9223372036854775807 --out none
    expect "groups over the width" 2 '--groups 65: ends of prefixes must ascend and lie in [1, 64]' train $groups --groups 1,2,65 --out none
    expect "a first group of one latent" 0 '' train $groups --groups 1,2,64 --out one
    expect "an option given twice: the last counts" 0 '' train $small --lr 1 --lr 0.001 --out last
    expect "as if it stood alone" 0 '' train $small --lr 0.001 --out alone
    same "the same" last/sae/sae_weights.safetensors alone/sae/sae_weights.safetensors
    expect "groups that do not ascend" 2 'must ascend' train $groups --groups 32,16 --out none
    expect "numbers given twice: the last counts" 0 '' train $small --steps 2 --lr 1 --lr 0.5 --out twice
    grep -q '"lr": 0.5' twice/run.json && [ "$(wc -l <twice/log.jsonl)" -eq 2 ] || not_ok "numbers given twice: the last counts" "$(cat twice/log.jsonl)"
    expect "which a resumed run knows" 0 '' train $small --steps 2 --lr 0.5 --out twice --resume
    expect "a list given twice is one list" 0 '' train $small --k 5 --out lists
    [ -d lists/w64-k4-r0-s0/sae ] && [ -d lists/w64-k5-r0-s0/sae ] || not_ok "a list given twice is one list" "$(ls lists)"
    run train --help
    grep -q 'given twice the last counts, lists take in both' out || not_ok "the help says what an option given twice means"
}
expect "resumed and replaced at once" 2 'give one of them' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out complete --resume --force
mkdir own && : >own/results-of-mine.csv
expect "a folder with another file whose name begins like ours" 0 '' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out own --quiet
expect "an infinite scale" 2 'a number above 0' train --array fine.npy --width 64 --k 4 --steps 3 --scale-input inf --out never
for scale in 1e300 1e-50 1e-40; do
    expect "a scale of $scale" 2 'a number above 0 (that float32 holds' train --array fine.npy --width 64 --k 4 --steps 3 --scale-input $scale --out never --plan
done
expect "an eps of 0 as a float" 2 "Adam's eps 1e-50 must be a float32 above 0" train --array fine.npy --width 64 --k 4 --steps 3 --adam-eps 1e-50 --out never --quiet
expect "one of jumprelu's numbers" 2 "train: jumprelu's first threshold 1e+39 must be 0 or" train --array fine.npy --width 64 --k 4 --steps 3 --arch jumprelu --first-threshold 1e39 --out never
expect "dead after too many tokens" 2 '2^60' train --array fine.npy --width 64 --k 4 --steps 3 --dead-tokens 9223372036854775807 --out never
expect "resume of nothing" 1 'no run to go on with' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out nix --resume
expect "--out that is a file" 1 'fine.npy is a file' train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out fine.npy
expect "a batch that cannot be" 2 '--batch must be from 1' train --array fine.npy --width 64 --k 4 --batch 1e15 --steps 3 --out x

# ---- plan ----
expect "train --plan" 0 '' train --array fine.npy --width 64,4096 --k 4 --rank 2 --batch 64 --steps 1000 --plan --quiet
grep -q '^memory  .*weights' out && grep -q '^step  .*encoder' out && grep -q '^time  ' out || not_ok "train --plan prints memory, arithmetic and time"
grep -q '^time .* (a step [0-9.]* ms,' out || not_ok "a step of less than 0.1 s is told in milliseconds" "$(cat out)"
expect "train --plan --json" 0 '' train --array fine.npy --width 4096 --k 4 --batch 64 --steps 1000 --plan --json --out planned --quiet
[ -e planned ] && not_ok "train --plan makes nothing"
grep -q '"encoder_per_step": 33554432.0' out || not_ok "train --plan: 2 x 64 x 64 x 4096 operations"
grep -q '"first_step_more": ' out && ! grep -q '"":' out || not_ok "train --plan: every number has a name" "$(cat out)"
grep -q '"mapped_files": 65536$' out || not_ok "train --plan: the array's rows are mapped" "$(cat out)"
# Parts add up, rows read ahead among them (2 x 65,536 x (64 x 4 + 8) bytes), and the run begins with what was planned.
for command in train sweep; do
    expect "$command --plan of a large batch" 0 '' $command --array fine.npy --width 64 --k 4 --batch 65536 --rows 65536 --plan --quiet
    sed 's/^memory  *\([0-9]*\) MiB: \(.*\)/\2: \1 MiB/;t;d' out >told
    grep -q 'rows read ahead 33[,:]' told && awk -F '[,:] ' '{
        for (i = 1; i < NF; i++) { n = split($i, word, " "); sum += word[n] }
        split($NF, word, " "); off = sum - word[1]
    } END { exit !(NR == 1 && off < NF / 2 && off > -NF / 2) }' told || not_ok "and its parts add up" "$(cat out)"
    expect "and the run begins with it" 0 "$(cat told)" $command --array fine.npy --width 64 --k 4 --batch 65536 --rows 65536 --out large_$command
done
# A start by PCA is estimated: of processor time 0.4 s, and 13 s where eigenvectors of that size are computed to time them.
head -c 262144 /dev/zero | make_npy wide.npy '(16, 4096)' '<f4'
(OMP_NUM_THREADS=1 && ulimit -t 8 && "$sae" train --array wide.npy --width 256 --k 4 --rank 2 --scaffold-start pca --batch 256 --steps 100 --plan --json --quiet >out 2>err </dev/null)
first=$(sed -n 's/.*"first_step_more": \([0-9]*\)\..*/\1/p' out)
if [ "${first:-0}" -ge 2 ]; then ok "the plan of a start by PCA"; else not_ok "the plan of a start by PCA" "$(cat out err)"; fi
expect "train --plan of rows in an order" 0 'are few' train --array fine.npy --order order.npy --width 64 --k 4 --plan --json --quiet
grep -q '"ordered_rows": 66816' out || not_ok "train --plan: 4 x 256 x 64 and 8 x 10 x 16 bytes" "$(cat out)"
expect "train --plan into a folder with a run" 1 'run1 holds checkpoints: use --resume' train --array fine.npy --width 64 --k 4 --batch 64 --steps 9 --plan --out run1
expect "train --plan of that run by another data" 1 'begun on other rows' train --array fine.npy --width 64 --k 4 --batch 64 --steps 9 --plan --out run1 --resume
expect "train --plan that would replace it" 0 '' train --array fine.npy --width 64 --k 4 --batch 64 --steps 9 --plan --out run1 --force --quiet
[ -s run1/run.json ] && [ -d run1/checkpoints ] || not_ok "and leaves it there"
expect "train --plan into a file" 1 'fine.npy is a file' train --array fine.npy --width 64 --k 4 --batch 64 --steps 9 --plan --out fine.npy
expect "an empty name" 2 "--out '': the name is empty: give --out FOLDER" train --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out ''
expect "an empty name for a plan" 2 "--out '': the name is empty" sweep --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --out '' --plan
expect "train --plan of what cannot be" 2 'k 65' train --array fine.npy --width 64 --k 65 --plan
expect "train --json alone" 2 '--plan' train --array fine.npy --out x --json
# shellcheck disable=SC2086
expect "sweep --plan" 0 '' sweep $sweep --out planned --plan
[ -e planned ] && not_ok "sweep --plan makes nothing"
expect "sweep --plan needs no --out" 0 '' sweep $sweep --plan

# ---- plot ----
expect "plot" 0 '16 curves of 4 runs' plot run1 run2/ shaken sweep --out curves2.html
expect "plot does not overwrite" 1 'curves2.html' plot run1 --out curves2.html
grep -q 'sweep, w96-k4-r2-s1' curves2.html && grep -q 'Learning rate' curves2.html || not_ok "plot names its curves"
head -c 300 run1/log.jsonl >half.jsonl
expect "plot of a log that is being written" 0 '' plot half.jsonl --out half.html --quiet
mkdir begun begun_sweep
cp run1/run.json begun && : >begun/log.jsonl
cp run1/run.json begun_sweep/sweep.json
expect "plot passes over a run without a line" 0 'skipped   begun: its log' plot run1 begun begun_sweep --out curves3.html
grep -q '1 curve of 1 run$' err && grep -q 'skipped   begun_sweep' err || not_ok "plot says which runs it shows"
printf '{"step": 1, "ro' >first_line.jsonl
expect "plot of runs without a line" 1 'no log of these runs has a whole line yet' plot begun first_line.jsonl --out x.html
expect "plot of one run without a line" 1 'no log of first_line.jsonl has a whole line yet' plot first_line.jsonl --out x.html
expect "plot of a run named twice" 0 '1 curve of 1 run' plot run1/log.jsonl run1/log.jsonl --out twice.html
grep -q 'run1' twice.html || not_ok "a log has the name of its run"
printf '{"step": 1\n' >broken.jsonl
expect "plot of a broken log" 1 'broken.jsonl, line 1' plot broken.jsonl --out x.html
printf '{"x": 1}\n' >other.jsonl
expect "plot of lines that are no log's" 1 'other.jsonl, line 1: says no "rows"' plot other.jsonl --out x.html
expect "plot of a run's clock" 1 'time.jsonl, line 1: says no "loss"' plot run1/time.jsonl --out x.html
# Two dictionaries in a folder with a long name, and another such folder whose name differs at its end.
long=$(printf '%0200d' 0)
for end in a b; do
    train "train, a long name, $end" 0 '' --out "$long$end" --k 5
done
expect "plot of long names" 0 '4 curves of 2 runs' plot "$long"a "$long"b --out long.html
grep -q "${long}b, w64-k5-r0-s0" long.html || not_ok "plot writes long names"
expect "plot of no run" 1 'no log.jsonl' plot empty_folder --out x.html
expect "plot of nothing" 2 'something is missing' plot --out x.html
expect "plot without --out" 2 '--out' plot run1

# ---- info ----
expect "info of a model" 0 '' info model
expect "info of a dictionary" 0 '' info run1/sae
expect "info of a run" 0 '' info run1
grep -q '^checkpoint    of step .*complete' out || not_ok "info of a run tells how far it is"
expect "info of a sweep" 0 '' info sweep
grep -q '^finished      \([0-9]*\) of \1$' out || not_ok "info of a sweep tells what is finished"
expect "info of a dictionary of a sweep" 0 '' info sweep/w96-k4-r2-s1
grep -q '^d_sae         96$' out || not_ok "info of a dictionary of a sweep names its width"
expect "info of a run as JSON" 0 '' info run1 --json
grep -q '"arguments"' out || not_ok "info of a run as JSON is its record"
# What a run that was broken off left of the one that it replaces is told; not where a complete one's checkpoints were removed.
train "a run to be replaced" 0 '' --out replaced
rm -r replaced/checkpoints
expect "info of a complete run without checkpoints" 0 '' info replaced
grep -q 'replaced/sae$' out || not_ok "its dictionary is its own" "$(cat out)"
expect "and it is replaced by one that fails" 1 'row 100 holds' train --array nan.npy --width 64 --k 4 --batch 16 --steps 100 --out replaced --force --quiet
expect "info of a run that was broken off" 0 '' info replaced
grep -q "replaced/sae: an earlier run's" out || not_ok "the dictionary is another run's" "$(cat out)"
newest=$(find run1/checkpoints -mindepth 1 -maxdepth 1 | sort | tail -n 1)
expect "info of a checkpoint" 0 '' info "$newest"
grep -q '^kind          checkpoint' out || not_ok "info of a checkpoint names it"
expect "info of several checkpoints" 1 'look at one of them' info run1/checkpoints
expect "info of any folder" 1 'none of run.json' info empty_folder
expect "info of a vocabulary" 0 '' info "$vocab"
grep -q '^tokenizer     byte-level BPE, 49152 tokens' out || not_ok "info of a vocabulary tells its tokens"
expect "info of an array" 0 '' info ids.npy
expect "info --json" 0 '' info model --json
expect "info of nothing" 1 'nowhere' info nowhere

# ---- eval, features, scaffold: on a tiny model that has a tokenizer of a few letters ----
letters_model tiny
letters_text 1 >letters.jsonl
# A buffer of 280 GB can be planned where it cannot be taken.
huge="--model tiny --text letters.jsonl --site resid_post.0 --rows 4096 --buffer 2000M --width 64 --k 4 --batch 64 --ctx 32"
# $huge is a list of options
# shellcheck disable=SC2086
{
    expect "train, live, with a buffer that nobody has" 1 'no memory for the shuffle buffer' train $huge --out huge --quiet
    expect "its plan takes nothing of it" 0 '' train $huge --plan --quiet
    grep -q 'shuffle buffer 267029' out || not_ok "it tells its size"
    expect "nor does that of a sweep" 0 '' sweep $huge --plan --memory 1G --out huge --quiet
    grep -q 'shuffle buffer 267029' out || not_ok "a sweep's tells its size"
    expect "which by itself leaves room for it" 1 'MiB may be used' sweep $huge --plan --out huge --quiet
    [ -e huge ] && not_ok "a plan makes nothing"
}
small="--width 64 --k 4 --batch 64 --ctx 32 --quiet"
# $small is a list of options
# shellcheck disable=SC2086
expect "train, live" 0 '' train --model tiny --text letters.jsonl --site resid_post.0 --rows 4096 --out live $small
# What comes through a pipe is compared by what was read of it: a text that is the same so far goes on, another one does not.
piped="train --model tiny --text - --site resid_post.0 --rows 4096 --buffer 256 $small --checkpoint-every 8"
# $piped is a list of options
# shellcheck disable=SC2086
{
    "$sae" $piped --out undisturbed <letters.jsonl >out 2>err || not_ok "train, live from a pipe" "$(cat err)"
    SAE_FAIL_IO=150:KILL "$sae" $piped --out piped <letters.jsonl >out 2>err
    [ -n "$(find piped/checkpoints -name state.json 2>>err)" ] && [ ! -e piped/sae ] || not_ok "it was killed in between" "$(find piped)"
    sed 's/a/b/' letters.jsonl >other_letters.jsonl
    "$sae" $piped --out piped --resume <other_letters.jsonl >out 2>err
    code=$?
    [ $code -eq 1 ] && grep -q 'not the one that was read before.* give another --out' err && ok "resumed from a pipe with another text" ||
        not_ok "resumed from a pipe with another text" "exit code $code" "$(cat err)"
    "$sae" $piped --out piped --resume <letters.jsonl >out 2>err || not_ok "resumed with the same text" "$(cat err)"
    same "and ends as if it had not been stopped" piped/sae/sae_weights.safetensors undisturbed/sae/sae_weights.safetensors
    # A sweep that was stopped while it measured reads on behind its last step.
    swept="sweep --model tiny --text - --site resid_post.0 --rows 512 --buffer 256 $small --checkpoint-every 8"
    n=80
    while [ ! -e swept/groups/001/checkpoints/000000000008 ] && [ $n -lt 160 ]; do
        rm -rf swept && n=$((n + 3))
        SAE_FAIL_IO=$n:KILL "$sae" $swept --out swept <letters.jsonl >out 2>err
    done
    [ -e swept/groups/001/checkpoints/000000000008 ] && [ ! -e swept/results.json ] || not_ok "a sweep was killed while it measured" "$(find swept)"
    "$sae" $swept --out swept <other_letters.jsonl >out 2>err
    code=$?
    [ $code -eq 1 ] && grep -q 'not the one that was read before.* give another --out' err && ok "a sweep of another text is not measured" ||
        not_ok "a sweep of another text is not measured" "exit code $code" "$(cat err)"
    "$sae" $swept --out swept <letters.jsonl >out 2>err || not_ok "and with the same text it is" "$(cat err)"
}
# With another tokenizer the rows are others.
cp tiny/tokenizer.json tokenizer.json && sed 's/"c": 3,/"c": 4,/; s/"d": 4,/"d": 3,/' tokenizer.json >tiny/tokenizer.json
# shellcheck disable=SC2086
expect "train, live, resumed with another tokenizer" 1 'model_files differs' \
    train --model tiny --text letters.jsonl --site resid_post.0 --rows 4096 --out live $small --resume
mv tokenizer.json tiny/tokenizer.json
# Filling a large buffer takes its time: it is shown, and can be stopped.
# shellcheck disable=SC2086
command="train --model tiny --text letters.jsonl --site resid_post.0 --rows 4096 --buffer 4M --out filling --width 64 --k 4 --batch 64 --ctx 32"
for time in "a buffer that is filled" "one that is filled as it was advised"; do
    # shellcheck disable=SC2086
    env --default-signal=INT "$sae" $command >out 2>err </dev/null &
    pid=$!
    tries=0
    while ! { grep -q '^memory' err && [ -s filling/run.json ]; } && [ $tries -lt 400 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    sleep 1 # before it is listened for, SIGINT ends the program at once
    kill -INT $pid
    began=$(date +%s)
    wait $pid
    code=$?
    if [ $code -eq 1 ] && [ $(($(date +%s) - began)) -le 5 ] && grep -q 'stopped on request before the first step' err && [ ! -s filling/log.jsonl ]; then
        ok "$time can be stopped"
    else
        not_ok "$time can be stopped" "exit code $code after $(($(date +%s) - began)) s"
    fi
    says "$time: how to begin it again" '^  sae train .*--ctx 32 --resume$'
    command=$(sed -n 's/^  sae //p' err)
done
# One tensor of a file is not another.
tensors='{"a":{"dtype":"F32","shape":[64,16],"data_offsets":[0,4096]},"b":{"dtype":"F32","shape":[64,16],"data_offsets":[4096,8192]}}   '
awk 'BEGIN { srand(9); for (i = 0; i < 2048; i++) printf "\\000\\000\\%03o\\077", int(rand() * 256) }' >bytes
# shellcheck disable=SC2059
{ printf "\\$(printf %03o ${#tensors})\\000\\000\\000\\000\\000\\000\\000%s" "$tensors" && printf "$(cat bytes)"; } >two.safetensors
of_two="--width 16 --k 2 --batch 32 --steps 4 --quiet"
# shellcheck disable=SC2086
{
    expect "train, a tensor of a file" 0 '' train --array two.safetensors:a $of_two --out of_a
    expect "resumed with another tensor of it" 1 'begun on other rows (array differs)' train --array two.safetensors:b $of_two --out of_a --resume
    expect "train, two texts" 0 '' train --model tiny --text letters.jsonl --text letters.jsonl --site resid_post.0 --ctx 32 $of_two --out texts
    expect "resumed with one of them" 1 'begun on other rows (text 1 differs)' train --model tiny --text letters.jsonl --site resid_post.0 --ctx 32 $of_two --out texts --resume
    expect "resumed with its own" 0 '' train --array two.safetensors:a $of_two --out of_a --resume
}
held="--model tiny --text letters.jsonl --split all --tokens 600 --ctx 32 --quiet"
# shellcheck disable=SC2086
{
    expect "eval" 0 '' eval live/sae $held --ce-tokens 300 --out eval.json
    cp eval.json kept.json
    expect "eval of the same is kept" 0 '' eval live/sae $held --ce-tokens 300 --out eval.json
    if cmp -s eval.json kept.json; then ok "as it was"; else not_ok "as it was" "another eval.json"; fi
    expect "eval does not overwrite" 1 'eval.json' eval live/sae $held --ce-tokens 200 --out eval.json
    expect "eval --json" 0 '' eval live/sae $held --ce-tokens 300 --json
    head -c 1 out | grep -q '{' || not_ok "eval --json prints an object"
    expect "eval of a dictionary of another width" 1 'width 64' eval run1/sae $held --site resid_post.0
    expect "eval of no dictionary" 1 'tiny' eval tiny $held
    expect "features" 0 '' features live/sae $held --id 3,5
    expect "features, a latent that is not there" 1 '64' features live/sae $held --id 64
    expect "features, no --id" 2 '--id' features live/sae $held
}
head -c 2000 live/sae/sae_weights.safetensors >cut_weights
cp -r live/sae cut && mv cut_weights cut/sae_weights.safetensors
# shellcheck disable=SC2086
expect "eval of a truncated dictionary" 1 'sae_weights.safetensors' eval cut $held
sizes="--tokens 3000 --rows 8192 --held-out-tokens 400 --ce-tokens 200 --draws 1 --cards 2 --rank 2"
# shellcheck disable=SC2086
{
    expect "scaffold" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small
    [ -s pair/report.html ] || not_ok "scaffold writes a report"
    # What examples read below runs/ is there once the example that has it as --out was run; other seeds and k are called like these.
    : >unwritten
    grep -oE ' runs/[a-z0-9]+(/[^ ]+)?' all_examples | sort -u >paths
    while read -r path; do
        rest=${path#runs/*/}
        folder=${path%"/$rest"}
        grep -qE -e "--out $folder( |\$)" all_examples || echo "$path" >>unwritten
        case $rest in
        runs/*) continue ;;                                             # the run itself
        sae) [ -s live/sae/cfg.json ] || echo "$path" >>unwritten ;;    # of sae train
        results.json) [ "$folder" = runs/sweep ] || echo "$path" >>unwritten ;;
        *) [ -d "pair/$(echo "$rest" | sed 's/-k[0-9]*-/-/; s/-s[0-9]*$/-s0/')" ] || echo "$path" >>unwritten ;;
        esac
    done <paths
    if [ -s paths ] && [ ! -s unwritten ]; then ok "what examples read is what a run writes"; else not_ok "what examples read is what a run writes" "$(cat unwritten)"; fi
    expect "scaffold of other settings does not overwrite" 1 'other settings (seed)' \
        scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small --seed 5
    expect "scaffold, with position 0 in a folder without it" 1 'other settings (with_bos)' \
        scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small --with-bos
    cp -r pair/results first
    expect "scaffold again" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small
    if command -v flock >/dev/null; then
        flock -o pair sleep 5 &
        holder=$!
        sleep 0.3
        expect "scaffold beside another one" 1 'another process' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small
        kill $holder
        wait $holder 2>/dev/null
    fi
    record=pair/dictionaries/batchtopk-p1-s0.json
    cp $record now.json
    for older in '/"training_revision"/d' 's/"training_revision": [0-9]*/"training_revision": 0/'; do
        sed "$older" now.json >$record
        if cmp -s now.json $record; then not_ok "records have a revision of training" "$(cat now.json)"; fi
        : >pair/dictionaries/batchtopk-p1-s0/sae_weights.safetensors
        expect "scaffold, a dictionary of an older way to train" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small
        if cmp -s now.json $record && [ -s pair/dictionaries/batchtopk-p1-s0/sae_weights.safetensors ]; then ok "trains it anew"; else not_ok "trains it anew" "$(cat $record)"; fi
    done
    if cmp -s first/summary/summary.json pair/results/summary/summary.json; then ok "and finds the same"; else not_ok "and finds the same" "$(diff first/summary/summary.json pair/results/summary/summary.json)"; fi
    loud=${small% --quiet}
    expect "scaffold, more held-out text than there is" 0 'warning: --held-out-tokens 9999999: the held-out part of the text has ' \
        scaffold --model tiny --text letters.jsonl --site resid_post.0 --out short $sizes $loud --held-out-tokens 9999999
    if [ "$(grep -c 'held-out-tokens' err)" = 1 ]; then ok "it is said once"; else not_ok "it is said once"; fi
    expect "scaffold, losses of one sequence" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out lonely $sizes $small --ce-tokens 10
    if grep -q 'not told from none, so there is little' out lonely/report.html && ! grep -qi '[^a-z]nan[^a-z]' out lonely/report.html; then ok "have no interval and tell nothing"; else not_ok "have no interval and tell nothing" "$(grep -n -i 'uncentred, scaffold' lonely/report.html)"; fi
    expect "scaffold elsewhere" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out elsewhere $sizes $small
    for blocks in batchtopk-baseline-s0 batchtopk-p1-s0; do # whichever is saved first
        rm -rf blocked && mkdir -p blocked/dictionaries && : >blocked/dictionaries/$blocks && cp pair/scaffold.json blocked/scaffold.json
        expect "scaffold, a dictionary that cannot be saved" 1 "$blocks" \
            scaffold --model tiny --text letters.jsonl --site resid_post.0 --out blocked $sizes $small
        rm blocked/dictionaries/$blocks
        expect "scaffold goes on" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out blocked $sizes $small
        if [ -e blocked/training/batchtopk-p1-s0 ]; then not_ok "and trains nothing again"; else ok "and trains nothing again"; fi
    done
    sed 's/"vocab": {/"vocab": { /' tiny/tokenizer.json >changed && cp tiny/tokenizer.json kept.json && cp changed tiny/tokenizer.json
    expect "scaffold with another tokenizer file" 0 '' scaffold --model tiny --text letters.jsonl --site resid_post.0 --out pair $sizes $small
    cp kept.json tiny/tokenizer.json
    if grep -q '"rows_reused": false' pair/run.json; then ok "its rows are computed anew"; else not_ok "its rows are computed anew"; fi
    expect "scaffold, a survey that is not there" 1 'nowhere' scaffold --model tiny --text letters.jsonl --out x --survey nowhere
    expect "scaffold, a rank over the width" 1 'below the width' scaffold --model tiny --text letters.jsonl --out x --ranks 500
    expect "scaffold, a k twice" 2 'twice' scaffold --model tiny --text letters.jsonl --out x --ks 4,4
    expect "scaffold, an unknown budget" 2 'quick' scaffold --model tiny --text letters.jsonl --out x --budget small
}
for again in blocked elsewhere; do
    different=$(diff -r first $again/results 2>&1)
    if [ -z "$different" ]; then ok "$again: scaffold gives the same numbers"; else not_ok "$again: scaffold gives the same numbers" "$different"; fi
done
# The pages of a model's files are told as those of a store's are.
live="--model tiny --text letters.jsonl --site resid_post.0 --ctx 64 --width 64 --k 4 --batch 64 --steps 4 --plan --quiet"
run info tiny --json
bytes=$(sed -n 's/.*"file_bytes": \([0-9]*\).*/\1/p' out)
# shellcheck disable=SC2086
{
    expect "train --plan of a live run" 0 '' train $live
    grep -q '^  .* of pages of the model.s files, ' out || not_ok "its model's files are mapped" "$(cat out)"
    expect "train --plan --json of a live run" 0 '' train $live --json
    grep -q "\"mapped_files\": ${bytes:-none}\$" out || not_ok "and how large they are" "$bytes $(cat out)"
}
expect "scaffold --plan" 0 '' scaffold --plan --model tiny --text letters.jsonl --site resid_post.0 --budget standard --labelled "$root/data/labelled/rt-polarity.jsonl.zst"
grep -q "probing, TPP  *2000 documents" out || not_ok "the plan has its parts"
expect "scaffold --plan, documents without labels" 1 "expected a label" scaffold --plan --model tiny --text letters.jsonl --site resid_post.0 --budget standard --labelled letters.jsonl
expect "scaffold --plan of a shape" 0 '' scaffold --plan --budget full --text letters.jsonl --shape 2304,26,2614341888,256000,12
grep -q "51 dictionaries x 500000000 rows" out || not_ok "and its dictionaries, a baseline at each k of the grid among them"
grep -q "^match  *trained: 12 of the dictionaries at most, 6 where" out || not_ok "and how many are trained at equal L0" "$(head -n 8 out)"
if grep -q '^site  *layer 12$' out && grep -q '^width  *16,384$' out && grep -q '^k  *100$' out && grep -q '^rank  *24$' out; then
    ok "and its setting"
else
    not_ok "and its setting" "$(head -n 8 out)"
fi
# 20 readings by pairs, 49 by the census, 36 for dense latents in 7 groups, 16, 5, 4 and 13 by redundancy, cards, retrain and the knee; 10, 50, 8 and 10 of losses
grep -q "held-out rows, again  *221 readings" out || not_ok "and its held-out rows again" "$(cat out)"
expect "scaffold --plan, nothing trained at equal L0, fewer ranks" 0 '' scaffold --plan --budget full --match interpolated --ranks 2,4,6,8,16,24,48 --text letters.jsonl \
    --shape 2304,26,2614341888,256000,12
grep -q "36 dictionaries x 500000000 rows" out && ! grep -q '^match' out || not_ok "has 15 dictionaries fewer" "$(cat out)"
# 20 readings by pairs, 34 by the census, 36 for dense latents in 7 groups, 16, 5, 4 and 10 by redundancy, cards, retrain and the knee; 10, 35, 8 and 7 of losses
grep -q "held-out rows, again  *185 readings" out || not_ok "and reads its held-out rows less often" "$(cat out)"
expect "scaffold --plan, trained at equal L0 in a smaller budget" 0 '' scaffold --plan --match trained --text letters.jsonl --shape 2304,26,2614341888,256000,12
grep -q "8 dictionaries x 1048576 rows" out || not_ok "has six dictionaries more" "$(cat out)"
expect "scaffold, no such matching" 2 'interpolated' scaffold --model tiny --text letters.jsonl --out x --match exact
expect "scaffold --plan of a knee" 0 '' scaffold --plan --model tiny --text letters.jsonl --rank knee --topics none --json
if grep -q '"rank": "the knee of --ranks"' out && grep -q '"site": "blocks.1.hook_resid_post"' out; then ok "says so"; else not_ok "says so" "$(head -n 12 out)"; fi
expect "scaffold --plan, held-out rows that fit" 0 '' scaffold --plan --budget full --held-out-tokens 50000 --text letters.jsonl --shape 2304,26,2614341888,256000,12
if grep -q "again  *[0-9]* readings" out; then not_ok "are not read again"; else ok "are not read again"; fi
if [ -e x ]; then not_ok "a plan makes nothing"; else ok "a plan makes nothing"; fi
expect "scaffold --plan, half a shape" 2 'five numbers' scaffold --plan --text letters.jsonl --shape 2304,26
expect "scaffold, a shape without a plan" 2 '--plan' scaffold --model tiny --text letters.jsonl --shape 2304,26,2614341888,256000,12 --out x
expect "scaffold, a last prefix without prefixes" 2 '--scaffold-last would do nothing' scaffold --model tiny --text letters.jsonl --out x --scaffold-last
expect "scaffold, the rate of one that is frozen" 2 '--scaffold-lr would do nothing' \
    scaffold --model tiny --text letters.jsonl --out x --scaffold-freeze --scaffold-start pca --scaffold-lr 0.5
expect "scaffold, the last prefix of Matryoshka" 0 '' scaffold --plan --model tiny --text letters.jsonl --budget standard --labelled none --scaffold-last
expect "scaffold, a wiring that there is not" 2 'p1' scaffold --model tiny --text letters.jsonl --out x --variants p4
expect "scaffold, a wiring twice" 2 'p3 is there twice' scaffold --model tiny --text letters.jsonl --out x --variants p3,p1,p3
expect "scaffold, no --text" 2 '--text' scaffold --model tiny --out x
expect "scaffold, no model" 3 'make fetch-model' scaffold --model smollm2 --text letters.jsonl --out x
unharmed "the whole"

# ---- a store knows its site ----
expect "acts for a store" 0 '' acts tiny --text letters.jsonl --site resid_post.0 --tokens 1000 --ctx 32 --out store --quiet
expect "train --store with its --site" 0 '' train --store store --site blocks.0.hook_resid_post --width 64 --k 4 --batch 32 --steps 20 --out of_store --quiet
expect "train --store with another --site" 2 'leave --site away' train --store store --site blocks.1.hook_resid_post --width 64 --k 4 --batch 32 --steps 20 --out x --quiet
expect "train --plan of a transcoder" 0 '' train --array fine.npy --target-array fine.npy --width 96 --k 4 --batch 32 --steps 20 --plan --quiet

# ---- little address space ----
case $BUILD in
*asan* | *tsan*) ;; # which need terabytes of it
*)
    (ulimit -v 300000 && exec "$sae" --version) >out 2>err
    code=$?
    if [ $code -eq 3 ] && grep -q 'ulimit -v' err; then ok "too little address space"; else not_ok "too little address space" "expected exit code 3"; fi
    (ulimit -v 900000 && exec "$sae" sweep --array fine.npy --width 64 --k 4 --batch 64 --steps 3 --plan) >out 2>err
    code=$?
    free=$(sed -n 's/^memory  *\([0-9]*\) MiB may be used.*/\1/p' err)
    if [ $code -eq 0 ] && [ "${free:-9999}" -lt 750 ]; then ok "groups fit into it"; else not_ok "groups fit into it" "$free MiB of 878"; fi
    ;;
esac

# ---- bench ----
expect "bench train, a batch smaller than the product's tiles" 0 '' bench train --d-in 16 --width 256 --batch 40 --k 4 --pairs 1
expect "bench sweep" 0 '' bench sweep --store store --width 64 --k 4 --batch 32 --dictionaries 3 --warm 2 --pairs 2 --json
grep -q '"dictionaries": *3' out && grep -q '"ratio": *[0-9]' out || not_ok "bench sweep gives a ratio"
expect "bench sweep without a store" 2 '--store FOLDER' bench sweep
