/*
 * tasks.c - builds the tasks, counts right answers.
 */
#include "eval/tasks.h"

#include <math.h>
#include <string.h>

static void parts_free(task *t, int n)
{
    for (int i = 0; t && i < n; i++) {
        mem_free(t[i].doc);
        mem_free(t[i].place);
        mem_free(t[i].y);
    }
    mem_free(t);
}

void tasks_free(tasks *t)
{
    parts_free(t->train, t->n);
    parts_free(t->test, t->n);
    *t = (tasks){0};
}

/* The places of a part in order, or shuffled: place order[i] plays the role of place i. */
static sae_status part_order(const split_part *p, bool shuffled, rng *random, int64_t **order, sae_error *err)
{
    *order = mem_alloc_array((size_t)p->n, sizeof **order, "places of documents", err);
    if (!*order) return SAE_NOMEM;
    for (int64_t i = 0; i < p->n; i++) (*order)[i] = i;
    if (shuffled) rng_shuffle(random, *order, p->n);
    return SAE_OK;
}

/* Places of the other classes: ceil(n / others) of each, then cut to n at random. */
static int64_t draw_negatives(const split_part *p, int n_classes, int class, rng *random, int64_t *places)
{
    int64_t each = (p->per_class + n_classes - 2) / (n_classes - 1), n = 0;

    for (int c = 0; c < n_classes; c++) {
        if (c == class) continue;
        for (int64_t i = 0; i < p->per_class; i++) places[n + i] = c * p->per_class + i;
        rng_shuffle(random, places + n, p->per_class);
        n += each;
    }
    rng_shuffle(random, places, n);
    return p->per_class;
}

static sae_status make_task(task *t, const split_part *p, int n_classes, int class, const int64_t *order, rng *random,
                            sae_error *err)
{
    int64_t n = p->per_class, *places = mem_alloc_array((size_t)p->n, sizeof *places, "a task", err);

    t->n = 2 * n;
    t->doc = mem_alloc_array((size_t)t->n, sizeof *t->doc, "a task", err);
    t->place = mem_alloc_array((size_t)t->n, sizeof *t->place, "a task", err);
    t->y = mem_alloc_array((size_t)t->n, sizeof *t->y, "a task", err);
    if (!places || !t->doc || !t->place || !t->y) {
        mem_free(places);
        return SAE_NOMEM;
    }
    draw_negatives(p, n_classes, class, random, places);
    for (int64_t i = 0; i < t->n; i++) {
        t->y[i] = i < n;
        t->place[i] = order[i < n ? class * n + i : places[i - n]];
        t->doc[i] = p->doc[t->place[i]];
    }
    mem_free(places);
    return SAE_OK;
}

sae_status tasks_create(tasks *out, const split *s, bool shuffled, uint64_t seed, sae_error *err)
{
    sae_status status = SAE_OK;
    tasks t = {.n = s->n_classes == 2 ? 1 : s->n_classes, .n_test = s->test.n};
    int64_t *train = NULL, *test = NULL;
    rng random = rng_seed(seed, shuffled ? 71 : 70);

    t.train = mem_alloc_array((size_t)t.n, sizeof *t.train, "tasks", err);
    t.test = mem_alloc_array((size_t)t.n, sizeof *t.test, "tasks", err);
    if (!t.train || !t.test) SAE_TRY(SAE_NOMEM);
    SAE_TRY(part_order(&s->train, shuffled, &random, &train, err));
    SAE_TRY(part_order(&s->test, shuffled, &random, &test, err));
    for (int i = 0; i < t.n; i++) {
        int class = s->n_classes == 2 ? 1 : i;
        SAE_TRY(make_task(&t.train[i], &s->train, s->n_classes, class, train, &random, err));
        SAE_TRY(make_task(&t.test[i], &s->test, s->n_classes, class, test, &random, err));
    }
    *out = t;
    t = (tasks){0};
done:
    mem_free(train);
    mem_free(test);
    tasks_free(&t);
    return status;
}

/* ---- Scores -------------------------------------------------------------------------------------------------------------- */

sae_status score_create(score *out, int64_t n, sae_error *err)
{
    score s = {.n = n};

    s.right = mem_alloc_array((size_t)n, sizeof *s.right, "right answers", err);
    s.asked = mem_alloc_array((size_t)n, sizeof *s.asked, "questions", err);
    if (!s.right || !s.asked) {
        score_free(&s);
        return SAE_NOMEM;
    }
    *out = s;
    return SAE_OK;
}

void score_free(score *s)
{
    mem_free(s->right);
    mem_free(s->asked);
    *s = (score){0};
}

sae_status score_accuracy(const score *s, uint64_t seed, interval *out, sae_error *err)
{
    return bootstrap_ratio(out, s->right, s->asked, s->n, seed, err);
}

sae_status score_difference(const score *a, const score *b, uint64_t seed, interval *out, sae_error *err)
{
    sae_status status = SAE_OK;
    double *difference = mem_alloc_array((size_t)a->n, sizeof *difference, "differences", err);

    if (!difference) return SAE_NOMEM;
    for (int64_t i = 0; i < a->n; i++) difference[i] = a->right[i] - b->right[i];
    SAE_TRY(bootstrap_ratio(out, difference, a->asked, a->n, seed, err));
done:
    mem_free(difference);
    return status;
}

interval interval_mean(const interval *sets, int n)
{
    interval mean = {0, 0, 0};
    double below = 0, above = 0;

    for (int i = 0; i < n; i++) {
        mean.value += sets[i].value / n;
        below += (sets[i].value - sets[i].low) * (sets[i].value - sets[i].low);
        above += (sets[i].high - sets[i].value) * (sets[i].high - sets[i].value);
    }
    mean.low = mean.value - sqrt(below) / n;
    mean.high = mean.value + sqrt(above) / n;
    return mean;
}
