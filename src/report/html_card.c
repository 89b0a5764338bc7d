/* html_card.c - latents and directions as cards: the tokens that they promote, and where they are strongest, each token
 * coloured by its strength on one scale per card (two colours, for directions have signs). */
#include "report/page.h"

#include <math.h>
#include <string.h>

enum {
    LEVELS = 8,         /* of colour */
    SHOWN_CONTEXTS = 3, /* the others unfold */
    BEFORE = 24,        /* pieces of a long context shown before its peak, and after it */
    AFTER = 16,
};

static double strongest(const json_t *contexts)
{
    double largest = 0;
    size_t i, j;
    json_t *context, *value;

    json_array_foreach(contexts, i, context)
    {
        const json_t *strengths = json_object_get(context, "strengths");
        json_array_foreach(strengths, j, value) largest = fmax(largest, fabs(json_double(value)));
    }
    return largest;
}

static void put_piece(page *p, const char *piece, double strength, double scale, bool peak)
{
    int level = scale > 0 && isfinite(strength) ? (int)ceil(LEVELS * fabs(strength) / scale - 0.5) : 0;

    if (level <= 0 && !peak) {
        page_text(p, piece);
        return;
    }
    page_put(p, "<%s class=\"%c%d\" title=\"", peak ? "b" : "span", strength < 0 ? 'n' : 'p',
             level > LEVELS ? LEVELS : level);
    page_number(p, strength);
    page_put(p, "\">");
    page_text(p, piece);
    page_put(p, peak ? "</b>" : "</span>");
}

static void put_context(page *p, const json_t *context, double scale)
{
    const json_t *pieces = json_object_get(context, "pieces"), *strengths = json_object_get(context, "strengths");
    int64_t peak = json_integer_value(json_object_get(context, "peak")), n = (int64_t)json_array_size(pieces);
    int64_t begin = peak > BEFORE ? peak - BEFORE : 0;
    int64_t end = (peak < 0 ? BEFORE : peak) + AFTER + 1;

    if (end > n) end = n;
    page_put(p, "<li dir=\"auto\">%s", begin > 0 ? "<i class=\"symbol\">\xE2\x80\xA6</i>" : "");
    for (int64_t i = begin; i < end; i++)
        put_piece(p, json_string_value(json_array_get(pieces, (size_t)i)),
                  json_double(json_array_get(strengths, (size_t)i)), scale, i == peak);
    page_put(p, "%s</li>\n", end < n ? "<i class=\"symbol\">\xE2\x80\xA6</i>" : "");
}

static void put_contexts(page *p, const json_t *contexts)
{
    size_t n = json_array_size(contexts);
    double scale = strongest(contexts);

    if (n == 0) return;
    page_put(p, "<ol class=\"contexts\">\n");
    for (size_t i = 0; i < n && i < SHOWN_CONTEXTS; i++) put_context(p, json_array_get(contexts, i), scale);
    page_put(p, "</ol>\n");
    if (n <= SHOWN_CONTEXTS) return;
    page_put(p, "<details class=\"more\"><summary>%zu more context%s</summary><ol class=\"contexts\">\n",
             n - SHOWN_CONTEXTS, n == SHOWN_CONTEXTS + 1 ? "" : "s");
    for (size_t i = SHOWN_CONTEXTS; i < n; i++) put_context(p, json_array_get(contexts, i), scale);
    page_put(p, "</ol></details>\n");
}

/* A token by itself: its leading and trailing spaces are shown as dots. */
static void put_token(page *p, const char *token)
{
    size_t n = strlen(token), begin = 0, end = n;

    while (begin < n && token[begin] == ' ') begin++;
    while (end > begin && token[end - 1] == ' ') end--;
    page_put(p, "<span>");
    for (size_t i = 0; i < begin; i++) page_put(p, "<i class=\"symbol\">\xC2\xB7</i>");
    if (begin < end) {
        char *inner = text_clean(token + begin, end - begin, p->err);
        if (inner)
            page_text(p, inner);
        else if (p->status == SAE_OK)
            p->status = SAE_NOMEM;
        mem_free(inner);
    }
    for (size_t i = end; i < n; i++) page_put(p, "<i class=\"symbol\">\xC2\xB7</i>");
    page_put(p, "</span>");
}

static void put_tokens(page *p, const char *label, const char *class, const json_t *tokens)
{
    size_t i;
    json_t *token;

    if (json_array_size(tokens) == 0) return;
    page_put(p, "<p class=\"tokens %s\"><em>%s</em> ", class, label);
    json_array_foreach(tokens, i, token)
    {
        put_token(p, json_string_value(token));
        page_put(p, " ");
    }
    page_put(p, "</p>\n");
}

static void put_card(page *p, const json_t *card)
{
    const char *facts = json_string_value(json_object_get(card, "facts"));

    page_put(p, "<article class=\"card\">\n<h4>");
    page_text(p, json_string_value(json_object_get(card, "title")));
    page_put(p, "</h4>\n");
    if (*facts) {
        page_put(p, "<p class=\"facts\">");
        page_text(p, facts);
        page_put(p, "</p>\n");
    }
    put_tokens(p, "promotes", "up", json_object_get(card, "promoted"));
    put_tokens(p, "suppresses", "down", json_object_get(card, "suppressed"));
    put_contexts(p, json_object_get(card, "contexts"));
    page_put(p, "</article>\n");
}

static const json_t *card_at(const json_t *root, size_t i)
{
    return json_object_get(json_object_get(root, "cards"), layout_name(root, i, "card"));
}

void html_cards(page *p, const json_t *root, size_t begin, size_t end)
{
    for (size_t i = begin, next; i < end; i = next) {
        const char *group = json_string_value(json_object_get(card_at(root, i), "group"));
        for (next = i + 1; next < end; next++)
            if (strcmp(group, json_string_value(json_object_get(card_at(root, next), "group"))) != 0) break;
        page_put(p, "<details class=\"group\" open><summary><h3>");
        page_text(p, *group ? group : "Cards");
        page_put(p, "</h3> <span class=\"count\">%zu</span></summary>\n<div class=\"cards\">\n", next - i);
        for (size_t j = i; j < next; j++) put_card(p, card_at(root, j));
        page_put(p, "</div></details>\n");
    }
}
