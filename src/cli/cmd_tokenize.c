/* cmd_tokenize.c - `sae tokenize`: the ids and pieces of texts, exactly as the model's own tokenizer gives them. */
#include "cli/cli.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static void print_ids(const int32_t *ids, size_t n)
{
    putchar('[');
    for (size_t i = 0; i < n; i++) printf(i ? ", %d" : "%d", ids[i]);
    puts("]");
}

/* A piece is any bytes: what is not printable UTF-8 is written \n, \t or \xNN. */
static void print_piece(const char *piece, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)piece + i, (utf8proc_ssize_t)(bytes - i), &code);
        bool control = used > 0 && utf8proc_category(code) == UTF8PROC_CATEGORY_CC;
        if (used <= 0 || control) {
            if (piece[i] == '\n')
                fputs("\\n", stdout);
            else if (piece[i] == '\t')
                fputs("\\t", stdout);
            else
                printf("\\x%02x", (unsigned char)piece[i]);
            i++;
        } else {
            fwrite(piece + i, 1, (size_t)used, stdout);
            i += (size_t)used;
        }
    }
}

/* A line per token: its id and, after a tab, its piece. */
static sae_status print_pieces(const sae_tokenizer *tok, const int32_t *ids, size_t n, sae_error *err)
{
    for (size_t i = 0; i < n; i++) {
        char *piece = NULL;
        size_t bytes = 0;
        sae_status status = sae_tokenizer_decode(tok, &ids[i], 1, &piece, &bytes, err);
        if (status != SAE_OK) return status;
        printf("%d\t", ids[i]);
        print_piece(piece, bytes);
        putchar('\n');
        free(piece);
    }
    return SAE_OK;
}

static sae_status tokenize_text(const sae_tokenizer *tok, const char *text, size_t bytes, bool only_ids, sae_error *err)
{
    sae_status status = SAE_OK;
    int32_t *ids = NULL;
    size_t n = 0;

    SAE_TRY(sae_tokenizer_encode(tok, text, bytes, true, &ids, &n, err));
    if (only_ids)
        print_ids(ids, n);
    else
        SAE_TRY(print_pieces(tok, ids, n, err));
done:
    free(ids);
    return status;
}

static sae_status tokenize_line(const sae_tokenizer *tok, const char *line, size_t bytes, const char *name,
                                sae_error *err)
{
    sae_status status = SAE_OK;
    json_t *object = NULL;
    const json_t *text = NULL;

    SAE_TRY(json_parse(&object, line, bytes, name, err));
    text = json_object_get(object, "text");
    if (!json_is_string(text))
        SAE_RAISE(err, SAE_FORMAT, "%s: expected an object with a string \"text\", as {\"text\": \"...\"}", name);
    SAE_TRY(tokenize_text(tok, json_string_value(text), json_string_length(text), true, err));
done:
    json_decref(object);
    return status;
}

static sae_status tokenize_jsonl(const sae_tokenizer *tok, const char *path, sae_error *err)
{
    sae_status status = SAE_OK;
    stream *lines = NULL;
    const char *line = NULL;
    size_t bytes = 0;
    char name[600];

    SAE_TRY(stream_open(&lines, path, err));
    for (;;) {
        SAE_TRY(stream_line(lines, &line, &bytes, err));
        if (!line) break;
        if (strspn(line, " \t\r") == bytes) continue; /* an empty line holds no text */
        snprintf(name, sizeof name, "%.500s, line %lld", path, (long long)stream_line_number(lines));
        SAE_TRY(tokenize_line(tok, line, bytes, name, err));
    }
done:
    stream_close(lines);
    return status;
}

static sae_status run(args *a, sae_error *err)
{
    sae_status status = SAE_OK;
    sae_tokenizer *tok = NULL;
    char *path = NULL;
    const char *jsonl = args_text(a, "jsonl");
    const char *const *operands;
    int n = args_operands(a, &operands);

    if (jsonl && n > 1) SAE_TRY(args_fail(a, err, "give either --jsonl or texts, not both"));
    if (!jsonl && n < 2) SAE_TRY(args_fail(a, err, "no text: sae tokenize MODEL TEXT..., or --jsonl FILE"));
    SAE_TRY(model_path(operands[0], &path, err));
    SAE_TRY(sae_tokenizer_open(&tok, path, err));
    if (jsonl) SAE_TRY(tokenize_jsonl(tok, jsonl, err));
    for (int i = 1; i < n; i++) {
        if (i > 1 && !args_flag(a, "json")) putchar('\n');
        SAE_TRY(tokenize_text(tok, operands[i], strlen(operands[i]), args_flag(a, "json"), err));
    }
done:
    sae_tokenizer_free(tok);
    mem_free(path);
    return status;
}

static const option_row options[] = {
    {"jsonl", OPTION_TEXT, "FILE", "a line of ids for each line {\"text\": ...}; .zst, .gz and - too", NULL},
    {"json", OPTION_FLAG, NULL, "a line of ids per TEXT instead of a line per token", NULL},
    OPTION_END_ROW,
};

const command command_tokenize = {
    .name = "tokenize",
    .arguments = "MODEL [TEXT...]",
    .summary = "show the token ids and pieces of texts",
    .details = "Nothing is added; special tokens written in the text are recognised. Each token is a line: its id,\n"
               "a tab, its piece. MODEL may also be a tokenizer.json or the folder that holds one.",
    .examples = "sae tokenize smollm2 \"Hello world\"\n"
                "sae tokenize models/SmolLM2-135M-Instruct.Q4_1.gguf --jsonl texts.jsonl > ids.jsonl\n",
    .min_operands = 1,
    .max_operands = -1,
    .options = options,
    .run = run,
};
