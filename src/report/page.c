/* page.c - the growing text of a page, and the escaping of all that comes from outside. */
#include "report/page.h"

#include <string.h>

static bool page_reserve(page *p, size_t more)
{
    size_t room = p->room ? p->room : 65536;
    char *text;

    if (p->status != SAE_OK) return false;
    if (more < p->room - p->used) return true;
    while (room - p->used <= more) room *= 2;
    text = mem_grow(p->text, p->used, room, "a page", p->err);
    if (!text) {
        p->status = SAE_NOMEM;
        return false;
    }
    p->text = text;
    p->room = room;
    return true;
}

void page_put(page *p, const char *format, ...)
{
    va_list args, again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    if (n > 0 && page_reserve(p, (size_t)n + 1)) {
        vsnprintf(p->text + p->used, (size_t)n + 1, format, again);
        p->used += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

static void put_code(page *p, int32_t code, bool marked)
{
    char text[SYMBOL_TEXT];
    bool symbol = text_symbol(code, text);

    switch (code) {
    case '&': page_put(p, "&amp;"); return;
    case '<': page_put(p, "&lt;"); return;
    case '>': page_put(p, "&gt;"); return;
    case '"': page_put(p, "&quot;"); return;
    case '\'': page_put(p, "&#39;"); return;
    default: break;
    }
    page_put(p, symbol && marked ? "<i class=\"symbol\">%s</i>" : "%s", text);
}

/* marked: a stand-in for a shapeless character is set apart, so that the reader sees that it is one. */
static void put_escaped(page *p, const char *text, int columns, bool marked)
{
    size_t bytes = strlen(text), length;
    bool cut = columns > 0 && text_width(text) > columns;
    char one[SYMBOL_TEXT];
    int used = 0;

    for (size_t i = 0; i < bytes; i += length) {
        int32_t code = text_next(text + i, bytes - i, &length);
        if (cut) {
            snprintf(one, sizeof one, "%.*s", (int)length, text + i);
            used += text_width(one);
            if (used > columns - 1) break;
        }
        put_code(p, code, marked);
    }
    if (cut) page_put(p, "\xE2\x80\xA6");
}

void page_text(page *p, const char *text) { put_escaped(p, text, 0, true); }
void page_text_cut(page *p, const char *text, int columns) { put_escaped(p, text, columns, false); }
void page_attribute(page *p, const char *text) { put_escaped(p, text, 0, false); }

void page_number(page *p, double value)
{
    char text[NUMBER_TEXT];

    number_format(text, value);
    page_put(p, "%s", text);
}

/* The colour of a label on this page, or the next one that is free in this plot. */
static int colour_of(page *p, const char *label, unsigned *taken)
{
    const json_t *known = json_object_get(p->colours, label);
    int colour = (int)(known ? json_integer_value(known) : (json_int_t)json_object_size(p->colours));

    if (!known && json_object_set_new(p->colours, label, json_integer(colour)) != 0 && p->status == SAE_OK)
        p->status = SAE_FAIL(p->err, SAE_NOMEM, "no memory for the colours of a page");
    colour %= N_COLOURS;
    for (int tries = 0; tries < N_COLOURS && (*taken >> colour & 1); tries++) colour = (colour + 1) % N_COLOURS;
    *taken |= 1u << colour;
    return colour;
}

void page_looks(page *p, const json_t *series, look *looks, int n)
{
    json_t *all = (json_t *)series, *value;
    const char *label;
    unsigned taken = 0;
    int i = 0, controls = 0;

    json_object_foreach(all, label, value)
    {
        if (i >= n) break;
        look *l = &looks[i];
        l->control = json_is_true(json_object_get(value, "control"));
        if (l->control)
            snprintf(l->classes, sizeof l->classes, "control k%d", controls++ % N_CONTROLS);
        else
            snprintf(l->classes, sizeof l->classes, "c%d%s", colour_of(p, label, &taken),
                     i - controls < N_COLOURS ? "" : " again");
        i++;
    }
}
