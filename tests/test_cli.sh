#!/bin/sh
# test_cli.sh - the program as its users meet it: help, options, exit codes, bad files, nothing overwritten unasked.
set -u
root=$PWD
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
expect "an unknown command" 2 "did you mean 'sae tokenize'" tokenise
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
while read -r command; do
    # $command may be two words
    # shellcheck disable=SC2086
    expect "$command --help" 0 '' $command --help
    grep -q "^usage: sae $command" out && grep -q '^  sae ' out || not_ok "$command --help shows usage and examples"
    sed -n 's/^  --\([a-z0-9-]*\).*/\1/p' out | sort >known
    sed -n '/^Examples/,$p' out | grep -oE ' --[a-z][a-z0-9-]*' | sed 's/^ --//' | sort -u >used
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
    grep -oE "^  --$name( [^ ]+)?  " all_options | sed 's/ *$//' | sort -u >kinds
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
