# letters.sh - read by tests: a tiny model that has a byte-level tokenizer of a few letters, and text for it. Needs $root.
# shellcheck shell=sh

letters_model() { # FOLDER: made; id 0 begins sequences
    # shellcheck disable=SC2154
    cp -r "$root/data/golden/models/llama_gqa_tied" "$1"
    cat >"$1/tokenizer.json" <<'END'
{"added_tokens": [{"id": 0, "content": "<|endoftext|>", "special": true, "single_word": false, "lstrip": false,
 "rstrip": false, "normalized": false}], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel",
 "add_prefix_space": false, "use_regex": true}, "model": {"type": "BPE", "vocab": {"<|endoftext|>": 0, "a": 1, "b": 2,
 "c": 3, "d": 4, "\u0120": 5, "\u010a": 6}, "merges": []}}
END
}

letters_text() { # SEED: 400 documents of 60 letters and spaces on standard output
    awk -v seed="$1" 'BEGIN { srand(seed); for (i = 0; i < 400; i++) { line = ""
        for (j = 0; j < 60; j++) line = line substr("abcd ", int(rand() * 5) + 1, 1)
        print "{\"text\": \"" line "\"}" } }'
}

few_letters() { # 40 short documents on standard output
    i=0
    while [ $i -lt 40 ]; do
        echo "{\"text\": \"abcd dcba $(echo $i | tr '0123456789' 'abcdabcdab') abab cdcd bad dab cab\"}"
        i=$((i + 1))
    done
}
