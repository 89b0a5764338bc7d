/* test_verdict.c - what is said of a number: nothing open is told as found, nothing unharmed as harmed. */
#include "lab/matching.h"
#include "lab/verdict.h"
#include "report/report.h"

#include <check.h>
#include <math.h>
#include <string.h>

START_TEST(test_dense)
{
    static const struct {
        double base, with;
        interval fewer;
        const char *says;
    } dense[] = {{4, 2, {2, NAN, NAN}, "too few"},
                 {100, 95, {5, 4.9, 5.1}, "within a tenth"},
                 {100, 40, {60, -5, 125}, "cannot"},
                 {100, 40, {60, 50, 70}, "more than the 2r"},
                 {20, 12, {8, 6, 10}, "not told from the 2r"},
                 {20, 30, {-10, -12, -8}, "more, not fewer"},
                 {20, 12, {8, NAN, NAN}, "fewer in one seed"},
                 {20, 25, {-5, NAN, NAN}, "more in one seed"},
                 {100, 80, {20, 10, 30}, "not told from the 2r"},
                 {20, 12, {8, 8, 8}, "fewer in every seed, by one number"},
                 {20, 20, {0, 0, 0}, "as many in every seed"}};
    char text[VERDICT_TEXT];

    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        verdict_dense(text, dense[i].base, dense[i].with, &dense[i].fewer, 6);
        ck_assert_msg(strstr(text, dense[i].says), "%zu: %s", i, text);
    }
}
END_TEST

/* Told at one threshold is not told at another. */
START_TEST(test_thresholds)
{
    const threshold_count counts[] = {
        {0.05, 214.7, {-9.67, -34, 14.7}}, {0.1, 52, {16, 9.43, 22.6}}, {0.15, 40, {-9, -12, -6}},
        {0.2, 100, {5, 4.9, 5.1}},         {0.25, 9, {2, 2, 2}},        {0.3, 1.67, {1.67, 0.232, 3.1}}};
    const threshold_count seen[] = {counts[0], counts[1], {0.2, 7, {4.33, 0.539, 8.13}}, counts[5]};
    char text[VERDICT_TEXT];

    verdict_thresholds(text, counts, 6);
    ck_assert_str_eq(text, "; by threshold, over seeds: not told over 5 %, fewer over 10 %, more over 15 %, about as "
                           "many over 20 %, not told over 25 %, too few to tell over 30 %");
    verdict_thresholds(text, seen, 4);
    ck_assert_str_eq(text,
                     "; by threshold, over seeds: not told over 5 %, fewer over 10 and 20 %, too few to tell over "
                     "30 %");
}
END_TEST

/* What 2r supposes. */
START_TEST(test_pairs)
{
    char text[VERDICT_TEXT];

    verdict_pairs(text, 51, 0, 0.0327, 0.0219);
    ck_assert_msg(strstr(text, "no antipodal pairs to re-house, which 2r supposes: of the first seed's 51 dense "
                               "latents in the baseline none is half") &&
                      strstr(text, "antipodality 0.033, of others 0.022"),
                  "%s", text);
    verdict_pairs(text, 50, 0.4, 0.5, 0.02);
    ck_assert_msg(strstr(text, "50 dense latents in the baseline 20 are halves"), "%s", text);
    verdict_pairs(text, 50, NAN, NAN, NAN); /* not measured */
    ck_assert_str_eq(text, "");
    verdict_pairs(text, 4, 0, 0.1, 0.02); /* too few to say it of */
    ck_assert_str_eq(text, "");
}
END_TEST

/* A percentage does not say more than the counts: no interval of few or of equal ones, none beyond all of them, and none that tells what
 * the difference does not. */
START_TEST(test_percent)
{
    static const struct {
        double base[3], with[3];
        bool counted, told;
        double value;
    } of[] = {{{1, 2, 2}, {1, 0, 0}, true, false, 80},
              {{1, 2, 2}, {1, 0, 0}, false, true, 80}, /* a mass is not counted */
              {{50, 50, 50}, {40, 40, 40}, true, false, 20},
              {{50, 60, 70}, {40, 50, 60}, true, false, 16.6667}, /* as many fewer in each */
              {{40, 52, 64}, {20, 26, 32}, true, false, 50},      /* half in each */
              {{50, 60, 70}, {50, 60, 70}, true, false, 0},
              {{50, 52, 51}, {2, 0, 1}, true, true, 98.0392},
              {{0, 0, 0}, {1, 0, 0}, true, false, NAN}};
    rng r = rng_seed(7, 0);
    int told = 0, open = 0;

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        double fewer[3];
        for (int k = 0; k < 3; k++) fewer[k] = of[i].base[k] - of[i].with[k];
        const interval v = percent_fewer(fewer, of[i].base, 3, of[i].counted);
        ck_assert_msg(isnan(of[i].value) ? isnan(v.value) : fabs(v.value - of[i].value) < 1e-3, "%zu: %g", i, v.value);
        ck_assert_msg(of[i].told ? v.low < v.value && v.value <= v.high && v.high <= 100
                                 : isnan(v.low) && isnan(v.high),
                      "%zu: [%g, %g]", i, v.low, v.high);
    }
    ck_assert(isnan(percent_fewer((double[]){10}, (double[]){50}, 1, true).low)); /* one seed */
    for (int trial = 0; trial < 2000; trial++) {
        double base[3], fewer[3];
        for (int i = 0; i < 3; i++) {
            base[i] = 6 + rng_uniform(&r);
            fewer[i] = 5 * rng_uniform(&r) - 1;
        }
        const interval less = interval_of_mean(fewer, 3), v = percent_fewer(fewer, base, 3, true);
        ck_assert(isfinite(v.low) && v.high <= 100);
        ck_assert_msg((less.low > 0) == (v.low > 0) && (less.high < 0) == (v.high < 0), "[%g, %g] and [%g, %g] %%",
                      less.low, less.high, v.low, v.high);
        told += less.low > 0;
        open += less.low <= 0;
    }
    ck_assert_int_gt(told, 100);
    ck_assert_int_gt(open, 100);
}
END_TEST

/* Whether the verdict of N2 says that there are fewer or more. */
static bool reduction_is_told(const double *base, const double *with, int n, bool *says)
{
    double fewer[5];
    char text[VERDICT_TEXT];

    for (int i = 0; i < n; i++) fewer[i] = base[i] - with[i];
    const interval less = interval_of_mean(fewer, n), part = percent_fewer(fewer, base, n, true);
    const bool told = interval_has_width(&less) && (less.low > 0 || less.high < 0);
    verdict_dense(text, interval_of_mean(base, n).value, interval_of_mean(with, n).value, &less, 6);
    *says = strstr(text, "as the paper says") || strstr(text, "against the paper");
    ck_assert(!isfinite(part.low) || told == (part.low > 0 || part.high < 0));
    return told;
}

/* Two groups of seeds that differ in nothing: counts of latents whose part that a seed shares moves both, and each by itself. The reduction is told
 * about once in twenty, whatever the number of seeds; where two in three are gone, nearly always. */
START_TEST(test_null_of_the_reduction)
{
    enum { TRIALS = 400 };
    rng r = rng_seed(17, 0);

    for (int n = 2; n <= 5; n++) {
        int told[2] = {0};
        for (int trial = 0; trial < TRIALS; trial++)
            for (int planted = 0; planted < 2; planted++) {
                double base[5], with[5];
                bool says;
                for (int i = 0; i < n; i++) {
                    const double mean = 40 + 4 * rng_normal(&r);
                    base[i] = round(mean + 6 * rng_normal(&r));
                    with[i] = round((mean + 6 * rng_normal(&r)) / (planted ? 3 : 1));
                }
                const bool one = reduction_is_told(base, with, n, &says);
                ck_assert(says == one);
                told[planted] += one;
            }
        if (getenv("SAE_OBSERVED")) printf("# %d seeds: told %d of %d, planted %d\n", n, told[0], TRIALS, told[1]);
        ck_assert_int_ge(told[0], 6);  /* binomial(400, 0.05): fewer with probability 0.0003 */
        ck_assert_int_le(told[0], 35); /* more with probability 0.0005; observed 11 to 18 */
        if (n > 2) ck_assert_int_ge(told[1], TRIALS * 8 / 10);
    }
}
END_TEST

START_TEST(test_both)
{
    static const struct {
        interval text, seeds;
        char says;
    } both[] = {{{1.1, 1.05, 1.2}, {1.1, NAN, NAN}, '+'},
                {{1.1, 0.9, 1.2}, {1.003, 1.002, 1.004}, '?'},
                {{1.1, 1.05, 1.2}, {1.1, 0.9, 1.3}, '?'},
                {{0.8, 0.7, 0.9}, {0.8, 0.75, 0.85}, '-'}};

    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        ck_assert_int_eq(*verdict_both(&both[i].text, &both[i].seeds, 1, "+", "-", "?"), both[i].says);
}
END_TEST

static const struct {
    topic_numbers n;
    interval pca, centred;
    const char *features, *topics;
} asked[] = {
    /* two classes, nothing harmed */
    {{{.85, .75, .93},
      {.85, .75, .93},
      {0, -.02, .02},
      {.85, .75, .93},
      {0, -.02, .02},
      {.85, .75, .93},
      {0, -.02, .02},
      .5},
     {.8, .7, .9},
     {.8, .7, .9},
     "falls by less than 0.05",
     "cannot be told from before"},
    /* a fall that may be little */
    {{{.9, .85, .95},
      {.85, .8, .9},
      {.05, .02, .08},
      {.85, .8, .9},
      {.05, .02, .08},
      {.9, .85, .95},
      {.05, .02, .08},
      .1},
     {.8, .7, .9},
     {.8, .7, .9},
     "the fixed probe falls, whether by 0.05 or more is not told; one trained anew falls too",
     "topics can still be told"},
    /* less than at random */
    {{{.9, .85, .95},
      {.8, .75, .85},
      {.1, .07, .13},
      {.9, .85, .95},
      {0, -.02, .02},
      {.7, .65, .75},
      {-.1, -.15, -.05},
      .1},
     {.8, .7, .9},
     {.8, .7, .9},
     "the fixed probe falls, less than without features of equal density: against the paper; one trained anew "
     "cannot",
     "falls, less than at random, but topics can still be told"},
    /* a probe that knows nothing */
    {{{.5, .4, .6}, {.5, .4, .6}, {0, -.1, .1}, {.5, .4, .6}, {0, -.1, .1}, {.5, .4, .6}, {0, -.1, .1}, .5},
     {.5, .4, .6},
     {.5, .4, .6},
     "says nothing",
     "says nothing"},
    /* few questions */
    {{{.85, .75, .93}, {.8, .7, .9}, {.05, -.1, .2}, {.85, .75, .93}, {0, -.1, .1}, {.85, .75, .93}, {0, -.1, .1}, .1},
     {.8, .7, .9},
     {.8, .7, .9},
     "too few questions",
     "cannot be told from before"},
    /* to chance, and with random directions too */
    {{{.95, .9, .98},
      {.12, .08, .16},
      {.83, .8, .86},
      {.94, .9, .98},
      {.01, -.01, .03},
      {.11, .07, .15},
      {-.01, -.05, .03},
      .1},
     {.1, .06, .14},
     {.1, .06, .14},
     "not told from features of equal density",
     "as the paper says, but not told from random directions; one trained anew does not"},
    {{{.95, .9, .98},
      {.12, .08, .16},
      {.83, .8, .86},
      {.11, .08, .14},
      {.84, .8, .88},
      {.9, .87, .93},
      {.05, .02, .08},
      .1},
     {.8, .76, .84},
     {.8, .76, .84},
     "the fixed probe falls: against the paper; one trained anew falls too, and so it does without features of "
     "equal density",
     "as the paper says, not when the mean is kept; one trained anew does too"},
    /* a probe trained anew falls more than without one draw of equal density; less; draws that hold most of the features */
    {{{.95, .9, .98},
      {.7, .65, .75},
      {.25, .2, .3},
      {.8, .76, .84},
      {.15, .1, .2},
      {.9, .87, .93},
      {.2, .1, .3},
      .1,
      {.1, .05, .15},
      .2},
     {.8, .76, .84},
     {.8, .76, .84},
     "the fixed probe falls: against the paper; one trained anew falls too",
     "topics can still be told"},
    {{{.95, .9, .98},
      {.7, .65, .75},
      {.25, .2, .3},
      {.8, .76, .84},
      {.15, .1, .2},
      {.9, .87, .93},
      {.2, .1, .3},
      .1,
      {-.1, -.15, -.05},
      .2},
     {.8, .76, .84},
     {.8, .76, .84},
     "one trained anew falls too, less than without features of equal density",
     "topics can still be told"},
    {{{.95, .9, .98},
      {.7, .65, .75},
      {.25, .2, .3},
      {.8, .76, .84},
      {.15, .1, .2},
      {.72, .67, .77},
      {NAN, NAN, NAN},
      .1,
      {NAN, NAN, NAN},
      .7},
     {.8, .76, .84},
     {.8, .76, .84},
     "falls, compared with nothing (draws of equal density hold 70 % of these): against the paper; one trained "
     "anew "
     "falls, compared with nothing too",
     "topics can still be told"},
    /* more than beside one draw, of which nothing is known */
    {{{.95, .9, .98},
      {.7, .65, .75},
      {.25, .2, .3},
      {.8, .76, .84},
      {.15, .1, .2},
      {.9, .87, .93},
      {.2, .1, .3},
      .1,
      {.1, NAN, NAN},
      .2},
     {.8, .76, .84},
     {.8, .76, .84},
     "one trained anew falls too, beside one draw of which the spread is not known",
     "topics can still be told"},
    /* below chance */
    {{{.95, .9, .98},
      {.05, .03, .08},
      {.9, .86, .94},
      {.94, .9, .98},
      {.01, -.01, .03},
      {.9, .87, .93},
      {.05, .02, .08},
      .1},
     {.8, .76, .84},
     {.8, .76, .84},
     "cannot be told from before",
     "below chance, not to it: it tells wrong topics; one trained anew stays above"},
    /* at chance, but so may be something far above it */
    {{{.95, .9, .98},
      {.2, .05, .35},
      {.75, .6, .9},
      {.94, .9, .98},
      {.01, -.01, .03},
      {.9, .87, .93},
      {.05, .02, .08},
      .1},
     {.8, .76, .84},
     {.8, .76, .84},
     "cannot be told from before",
     "too few questions to tell whether to chance"},
    {{{.95, .9, .98},
      {.7, .65, .75},
      {.25, .2, .3},
      {.94, .9, .98},
      {.01, -.01, .03},
      {.9, .87, .93},
      {.05, .02, .08},
      .1},
     {.8, .76, .84},
     {.8, .76, .84},
     "cannot be told from before",
     "topics can still be told"}};

START_TEST(test_topics)
{
    char text[VERDICT_TEXT];

    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        verdict_features(text, &asked[i].n);
        ck_assert_msg(strstr(text, asked[i].features), "features %zu: %s", i, text);
        verdict_topics(text, &asked[i].n, &asked[i].pca, &asked[i].centred);
        ck_assert_msg(strstr(text, asked[i].topics), "topics %zu: %s", i, text);
    }
}
END_TEST

START_TEST(test_aimed)
{
    static const interval told = {.1, .05, .15}, open = {.1, -.05, .25}, less = {-.1, -.2, -.05},
                          shared = {.1, NAN, NAN}, none = {NAN, NAN, NAN};
    static const struct {
        const interval *base, *with;
        const char *says;
    } of[] = {{&told, &told, ""},
              {&none, &none, ""},
              {&told, &open, "; with the scaffold not told"},
              {&open, &told, "; without the scaffold not told"},
              {&less, &shared, "; neither with"}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *text = verdict_aimed(of[i].base, of[i].with);
        ck_assert_msg(*of[i].says ? strstr(text, of[i].says) == text : !*text, "aimed %zu: %s", i, text);
    }
}
END_TEST

/* Whether what a scaffold's codes add makes up for a loss: by documents and by seeds, or by documents alone. */
START_TEST(test_codes)
{
    static const interval up = {.1, .05, .15}, down = {-.1, -.15, -.05}, open = {.01, -.02, .04},
                          none = {NAN, NAN, NAN}, one = {.1, NAN, NAN};
    const struct {
        interval with[2], added[2];
        const char *says;
    } of[] = {{{up, up}, {up, up}, "; more than made up"},
              {{open, up}, {up, up}, "; made up by the scaffold's codes as far as can be told"},
              {{open, open}, {up, open}, "; with the scaffold's codes to ablate too it cannot be told"},
              {{down, down}, {up, up}, "; not made up by the scaffold's codes: with these to ablate too it is less"},
              {{down, down}, {open, open}, "; not made up by the scaffold's codes: with these to ablate too it stays"},
              {{down, one}, {down, one}, "; not made up by the scaffold's codes: with these to ablate too it stays"},
              {{up, one}, {up, one}, "; more than made up"},
              {{none, none}, {up, up}, ""},
              {{up, up}, {none, none}, ""}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *text = verdict_codes(of[i].with, of[i].added);
        ck_assert_msg(*of[i].says ? strstr(text, of[i].says) == text : !*text, "codes %zu: %s", i, text);
    }
}
END_TEST

START_TEST(test_overlap)
{
    static const interval unknown = {NAN, NAN, NAN}, more = {.5, .3, .7}, open = {.1, -.1, .3}, less = {-.2, -.3, -.1};
    static const struct {
        interval overlap;
        double rank, control; /* of P3 */
        const interval *further;
        const char *says, *too;
    } overlaps[] = {
        {{0, 0, 0}, 0, .98, &unknown, "no scaffold", "nothing to compare"},
        {{NAN, NAN, NAN}, 6, .98, &unknown, "no scaffold", "nothing to compare"},
        {{.97, .96, .98}, 6, .98, &unknown, "near-identical (over 0.95), as", "paper says"},
        {{.97, NAN, NAN}, 6, NAN, &unknown, "near-identical (over 0.95), as", "paper says"},
        {{.97, .6, 1}, 6, .98, &open, "whether near-identical is not told", "P3, which learns PCA, reaches 0.980"},
        {{.7, .6, .8}, 6, .98, &more, "mostly the same directions, not near-identical", "reaches 0.980"},
        {{.52, .3, .74}, 6, .98, &more, "whether most of the directions are the same is not told", "reaches 0.980"},
        {{.25, .2, .3}, 6, .98, &more, "largely other directions: against the paper", "reaches 0.980"},
        {{.6, .2, 1}, 6, .98, &open, "not told", "reaches 0.980"},
        /* what learns PCA is not near-identical in these steps */
        {{.525, .412, .638},
         6,
         .833,
         &more,
         "whether most",
         "could not have been shown in these steps (P3, which learns PCA: 0.833); further"},
        {{.25, .2, .3},
         6,
         .833,
         &more,
         "largely other directions; near-identity could not",
         "; further from PCA than P3"},
        {{.8, .7, .9}, 6, .833, &open, "mostly the same directions; near-identity could not", "; not told from P3"},
        {{.9, .86, .94},
         6,
         .7,
         &less,
         "mostly the same directions; near-identity could not",
         "; nearer to PCA than P3"},
        {{.25, NAN, NAN}, 6, .833, &unknown, "largely other directions; near-identity could not", "PCA: 0.833)"},
        {{.25, .2, .3},
         6,
         NAN,
         &unknown,
         "largely other directions; whether these steps",
         "no P3, which learns PCA, in this run"}};
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++) {
        char says[VERDICT_TEXT];
        verdict_overlap(says, &overlaps[i].overlap, overlaps[i].rank, overlaps[i].control, overlaps[i].further);
        ck_assert_msg(strstr(says, overlaps[i].says) && strstr(says, overlaps[i].too), "overlap %zu: %s", i, says);
        if (!(overlaps[i].control > .95)) ck_assert_msg(!strstr(says, "against the paper"), "overlap %zu: %s", i, says);
    }
}
END_TEST

/* Within a twentieth it is the same, unless the seeds leave more open; of one seed the text's interval decides. */
START_TEST(test_beside_pca)
{
    static const struct {
        interval of_pca[2];
        const char *says;
    } of[] = {{{{0.978, 0.976, 0.980}, {NAN, NAN, NAN}}, "about as much harm as PCA"},
              {{{1.003, 1.001, 1.004}, {1.002, 0.99, 1.02}}, "about as much harm as PCA"},
              {{{1.003, 1.001, 1.004}, {1.1, 1.01, 1.3}}, "more harm than PCA, as the paper says"},
              {{{0.978, 0.9, 0.980}, {NAN, NAN, NAN}}, "less harm than PCA: against the paper"},
              {{{1.04, 1.01, 1.07}, {NAN, NAN, NAN}}, "more harm than PCA, as the paper says"},
              {{{1.24, 1.2, 1.3}, {1.2, 0.9, 1.5}}, "cannot be told from PCA"},
              {{{1.24, NAN, NAN}, {NAN, NAN, NAN}}, "cannot be told from PCA"}};
    const interval harmful[2] = {{1.2, 1.1, 1.3}, {1.2, 1.1, 1.3}};
    /* What is no more than random directions is no evidence of the paper's claim, however much less PCA harms. */
    static const struct {
        interval over_random[2];
        const char *says;
    } null_of[] = {{{{1.02, 0.99, 1.05}, {NAN, NAN, NAN}}, "more harm than PCA, but not told from random directions"},
                   {{{1.02, 1.01, 1.05}, {1.02, 0.9, 1.1}}, "more harm than PCA, but not told from random directions"},
                   {{{NAN, NAN, NAN}, {NAN, NAN, NAN}}, "more harm than PCA, but not told from random directions"},
                   {{{0.9, 0.8, 0.95}, {NAN, NAN, NAN}}, "more harm than PCA, and less than random directions"},
                   {{{1.02, 1.01, 1.05}, {NAN, NAN, NAN}}, "more harm than PCA, as the paper says"}};

    for (size_t i = 0; i < sizeof null_of / sizeof *null_of; i++) {
        const interval more[2] = {{1.053, 1.03, 1.07}, {NAN, NAN, NAN}};
        const char *text = verdict_beside_pca(more, null_of[i].over_random);
        ck_assert_msg(strncmp(text, null_of[i].says, strlen(null_of[i].says)) == 0, "null %zu: %s", i, text);
    }
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *text = verdict_beside_pca(of[i].of_pca, harmful);
        ck_assert_msg(strncmp(text, of[i].says, strlen(of[i].says)) == 0, "beside PCA %zu: %s", i, text);
    }
    const interval fewer = {16, 9, 23}, more = {-18, -30, -5}, open = {3, -6, 12}, one_seed = {16, NAN, NAN};
    ck_assert(strstr(verdict_length(86, 35, &fewer), "which shrank on the way"));
    ck_assert(!*verdict_length(40, 35, &fewer) && !*verdict_length(35, 86, &fewer));
    ck_assert(strstr(verdict_length(51, -11, &more), "there were fewer") && !*verdict_length(-2, -20, &more));
    ck_assert(!*verdict_length(86, 35, &open) && !*verdict_length(86, 35, &one_seed));
}
END_TEST

/* Without ends nothing is told. */
START_TEST(test_share)
{
    static const struct {
        interval over;
        const char *says;
    } of[] = {{{1.9, 1.8, 2}, "; in the first seed more than random subspaces that hold as much of position 0's row"},
              {{0.8, 0.7, 0.9}, "; in the first seed less than random subspaces that hold as much"},
              {{1.1, 0.9, 1.3}, "; in the first seed not told from random subspaces that hold as much"},
              {{1.9, NAN, NAN}, "; in the first seed not told from random subspaces that hold as much"}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *text = verdict_share(&of[i].over);
        ck_assert_msg(strncmp(text, of[i].says, strlen(of[i].says)) == 0, "share %zu: %s", i, text);
    }
}
END_TEST

START_TEST(test_necessity)
{
    const interval one_seed = {1, NAN, NAN}, seeds = {1.04, 1.01, 1.07}, wide = {1.04, .9, 1.2};
    const interval more = {1.04, 1.02, 1.06}, open = {1, .9, 1.1}, less = {.9, .8, .95}, drawn_once = {1.1, NAN, NAN};
    const interval much = {1.5, 1.4, 1.6}, little = {1.05, 1.01, 1.09}, about = {1.1, 1.05, 1.15}, below = {.9, .8, 1};
    const struct {
        interval ratio[2], over_random[2];
        const char *says;
    } of[] = {{{much, one_seed}, {open, one_seed}, "cannot"},
              {{below, one_seed}, {less, one_seed}, "less harm"},
              {{little, little}, {more, seeds}, "but little"},
              {{much, much}, {more, seeds}, "as the paper says"},
              {{much, one_seed}, {more, one_seed}, "as the paper says"},
              {{much, much}, {more, wide}, "cannot"},
              {{much, one_seed}, {drawn_once, one_seed}, "cannot"},
              {{about, about}, {more, seeds}, "by a tenth is not told"},
              /* how much harm, by other seeds too */
              {{much, {1.5, 1.05, 1.95}}, {more, seeds}, "by a tenth is not told"},
              {{little, {1.05, .9, 1.2}}, {more, seeds}, "by a tenth is not told"}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *text = verdict_necessity(of[i].ratio, of[i].over_random);
        ck_assert_msg(strstr(text, of[i].says), "necessity %zu: %s", i, text);
    }
}
END_TEST

START_TEST(test_redundancy)
{
    static const struct {
        interval over_matched;
        beside_removal less;
        const char *says;
    } redundant[] = {
        {{.1, -.1, .3}, {{-2, -3, -1}, {-2, -3, -1}, {-2, -3, -1}}, "cannot be told from features"},
        {{.1, NAN, NAN}, {{-2, -3, -1}, {-2, -3, -1}, {-2, -3, -1}}, "cannot be told from features"}, /* one draw */
        {{-.1, -.2, -.05}, {{-2, -3, -1}, {-2, -3, -1}, {-2, -3, -1}}, "less than features"},
        {{.1, .05, .2}, {{-2, -3, -1}, {-1, -2, -.1}, {-2, -3, -1}}, "less than the scaffold: as the paper says"},
        {{.1, .05, .2}, {{-2, -3, -1}, {.5, .1, 1}, {-2, -3, -1}}, "paper says, not when the mean is kept"},
        {{.1, .05, .2}, {{-2, -3, -1}, {.5, -.1, 1}, {-2, -3, -1}}, "paper says, not told when the mean is kept"},
        {{.1, .05, .2}, {{.5, .1, 1}, {.6, .2, 1}, {.5, .1, 1}}, "more than the scaffold: against"},
        {{.1, .05, .2}, {{-.1, -.2, .1}, {.6, .2, 1}, {-.1, -.2, .1}}, "not told from the scaffold"},
        {{.1, .05, .2}, {{-.1, NAN, NAN}, {.6, NAN, NAN}, {-.1, NAN, NAN}}, "not told from the scaffold"}};
    char text[VERDICT_TEXT];

    for (size_t i = 0; i < sizeof redundant / sizeof *redundant; i++) {
        const rule_cost rule = {"energy", redundant[i].over_matched};
        verdict_redundancy(text, &rule, 1, &redundant[i].less);
        ck_assert_msg(strstr(text, redundant[i].says), "redundancy %zu: %s", i, text);
        ck_assert(!strstr(text, "other rules"));
    }
    const rule_cost rules[] = {
        {"energy", {.1, .05, .2}}, {"union", {.1, .02, .2}}, {"best", {0, -.1, .1}}, {"match", {-.2, -.3, -.1}}};
    beside_removal less = {{-2, -3, -1}, {-2, -3, -1}, {-2, -3, -1}};
    verdict_redundancy(text, rules, 4, &less);
    ck_assert_msg(strstr(text, "as the paper says; by other rules of alignment: best not told, match less"), "%s",
                  text);
    verdict_redundancy(text, rules, 2, &less);
    ck_assert(!strstr(text, "other rules") && !strstr(text, "error"));
    less.error_r2 = (interval){0, -1, 1};
    verdict_redundancy(text, rules, 2, &less);
    ck_assert(strstr(text, "as the paper says; not told when the dictionary's error is projected too"));
    less.error_r2 = (interval){1, .5, 2};
    verdict_redundancy(text, rules, 2, &less);
    ck_assert(strstr(text, "as the paper says; not when the dictionary's error is projected too"));
}
END_TEST

START_TEST(test_rank)
{
    static const struct {
        interval knee;
        double margin, spread;
        const char *says;
    } ranks[] = {{{4, 2, 8}, .01, NAN, "by these trainings, one of each rank"},
                 {{4, 2, 8}, .01, .001, "some directions are worth more"},
                 {{4, 2, 8}, .001, .002, "not decided: the step into the knee gains 0.0010"},
                 {{4, 0, 4}, .01, .001, "not decided: whether any"},
                 {{0, 0, 2}, 0, NAN, "not decided: whether any"},
                 {{0, 0, 0}, 0, .1, "no scaffold is called for"}};
    char text[VERDICT_TEXT];

    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        verdict_rank(text, &ranks[i].knee, ranks[i].margin, ranks[i].spread);
        ck_assert_msg(strstr(text, ranks[i].says), "rank %zu: %s", i, text);
    }
}
END_TEST

START_TEST(test_outliers)
{
    static const struct {
        interval inside[2];
        double counts[2];
        const char *says;
    } outliers[] = {
        {{{0, NAN, NAN}, {0, NAN, NAN}}, {0, 0}, "nothing to compare"},
        {{{.9, NAN, NAN}, {.8, NAN, NAN}}, {1, 4}, "as the paper says"},
        {{{.1, NAN, NAN}, {.2, NAN, NAN}}, {1, 4}, "than by chance, not most"},
        {{{.02, NAN, NAN}, {.01, NAN, NAN}}, {8, 8}, "against the paper"},
        {{{.1, NAN, NAN}, {.9, NAN, NAN}},
         {1, 4},
         "by O1: more of their axes lies inside it than by chance, not most; by O2: most"},
        {{{0, NAN, NAN}, {.02, NAN, NAN}}, {0, 4}, "by O1: none stand out here; by O2: hardly"},
        /* over seeds: what the interval leaves open is not told */
        {{{.9, .8, 1}, {.9, .7, 1.1}}, {1, 4}, "most of their axes lies inside it, as the paper says"},
        {{{.6, .2, 1}, {.6, .2, 1}}, {1, 4}, "than by chance; whether most is not told"},
        {{{.1, .05, .2}, {.1, .05, .2}}, {1, 4}, "than by chance, not most"},
        {{{.1, -.1, .3}, {.1, -.1, .3}}, {1, 4}, "against the paper; whether more than by chance is not told"},
        {{{.6, -.1, 1.3}, {.6, -.1, 1.3}}, {1, 4}, "whether more of their axes lies inside it than by chance is not"},
        {{{.01, 0, .02}, {.01, 0, .02}}, {1, 4}, "hardly more of their axes"}};
    char text[VERDICT_TEXT];

    for (size_t i = 0; i < sizeof outliers / sizeof *outliers; i++) {
        verdict_outliers(text, outliers[i].inside, outliers[i].counts, 0.01);
        ck_assert_msg(strstr(text, outliers[i].says), "outliers %zu: %s", i, text);
    }
}
END_TEST

/* Between the k that were trained: FVU on a straight line, dense latents on one of logarithms; beyond them nothing. */
START_TEST(test_matching)
{
    matching_place curve[] = {{.k = 64, .at = {60, 0.1, 1, 99, 39, 0, 7}}, {.k = 32, .at = {30, 0.2, 1, 24, 9, 0, 1}}};
    const matching_place none = {.k = 40, .at = {80, 0.3}}, middle = {.k = 48, .at = {45, 0.15}};
    matching_set set = {
        .name = "x", .title = "x", .kind = "P1", .n_measures = MATCHING_CENSUS, .base = middle, .curve = curve, .n = 2};
    sae_result *r = NULL;
    sae_error err = {0};

    for (int beyond = 0; beyond < 2; beyond++) {
        if (beyond) {
            set.base = none;
            set.trained[MATCHING_L0] = &middle;
        }
        ck_assert_int_eq(sae_result_create(&r, "matching", &err), SAE_OK);
        ck_assert_int_eq(matching_report(r, &set, &err), SAE_OK);
        if (beyond) {
            ck_assert(isnan(sae_result_get(r, "x.l0.fvu", NAN)));
        } else {
            ck_assert_double_eq_tol(sae_result_get(r, "x.l0.fvu", NAN), 0.15, 1e-12);
            ck_assert_double_eq_tol(sae_result_get(r, "x.l0.dense_0.05", NAN), 49, 1e-9); /* sqrt(25 x 100) - 1 */
            ck_assert_double_eq_tol(sae_result_get(r, "x.fvu.dense_0.1", NAN), 19, 1e-9);
            ck_assert_double_eq_tol(sae_result_get(r, "x.l0.dense_0.2", NAN), 0, 1e-12);
            ck_assert_double_eq_tol(sae_result_get(r, "x.l0.dense_mass", NAN), 3, 1e-9);
        }
        ck_assert(isnan(sae_result_get(r, "x.l0_trained.fvu", NAN)) != beyond);
        ck_assert_double_eq_tol(sae_result_get(r, "x.l0_trained.off", 0), beyond ? 45. / 80 - 1 : 0, 1e-12);
        ck_assert_double_eq_tol(matching_k(&set, MATCHING_L0), beyond ? 64 * 80. / 60 : 48, 1e-9); /* by proportion */
        ck_assert(isnan(matching_k(&set, MATCHING_FVU)) == beyond);
        sae_result_free(r);
    }
}
END_TEST

/* A lower k alone has fewer dense latents: 19 of the baseline's 39 are fewer at half of its k, so that of the 29 fewer that a scaffold
 * has there 10 are its own. Where the scaffold's dictionary is the baseline of that k, nothing is. */
START_TEST(test_matching_baselines)
{
    matching_place curve[] = {{.k = 64, .at = {60, 0.1, 1, 99, 30, 0, 7}}, {.k = 32, .at = {30, 0.2, 1, 24, 10, 0, 1}}};
    matching_place plain[] = {{.k = 64, .at = {60, 0.2, 1, 99, 39, 0, 7}}, {.k = 32, .at = {30, 0.3, 1, 24, 20, 0, 1}}};
    const matching_place base = plain[0];
    matching_set set = {.name = "x",
                        .title = "x",
                        .kind = "P1",
                        .rank = 30,
                        .n_measures = MATCHING_CENSUS,
                        .base = base,
                        .curve = curve,
                        .n = 2};
    sae_result *r = NULL;
    sae_error err = {0};
    matching_place q;

    for (int with = 0; with < 3; with++) {
        set.base_curve = plain;
        set.n_base = with ? 2 : 1; /* of one k there is nothing to say */
        if (with == 2) memcpy(curve, plain, sizeof curve);
        ck_assert_int_eq(sae_result_create(&r, "matching", &err), SAE_OK);
        ck_assert_int_eq(matching_report(r, &set, &err), SAE_OK);
        const double of = sae_result_get(r, "x.l0r_baseline.dense_0.1", NAN);
        const double less = sae_result_get(r, "x.l0r.dense_0.1.less", NAN);
        const double by_k = sae_result_get(r, "x.l0r.dense_0.1.less_by_k", NAN);
        const double at_l0 = sae_result_get(r, "x.l0r.dense_0.1.less_at_l0", NAN);
        if (!with) {
            ck_assert(isnan(of) && isnan(less) && isnan(by_k) && isnan(at_l0));
            ck_assert(isnan(sae_result_get(r, "x.baseline_k32.fvu", NAN)) && !matching_baseline(&set, 45, &q));
        } else {
            ck_assert_double_eq_tol(of, 20, 1e-9);
            ck_assert_double_eq_tol(by_k, 100 * 19. / 39, 1e-9);
            ck_assert_double_eq_tol(less, with == 1 ? 100 * 29. / 39 : 100 * 19. / 39, 1e-9);
            ck_assert_double_eq_tol(at_l0, with == 1 ? 50 : 0, 1e-9);
            ck_assert_double_eq_tol(sae_result_get(r, "x.baseline_k32.fvu", NAN), 0.3, 1e-12);
            ck_assert_double_eq(sae_result_get(r, "x.l0.dense_0.1.less_by_k", NAN), 0); /* L0 is the same */
            ck_assert(matching_baseline(&set, 45, &q) && fabs(q.at[1] - 0.25) < 1e-12 && fabs(q.k - 48) < 1e-9);
            ck_assert(!matching_baseline(&set, 61, &q) && !matching_baseline(&set, 29, &q));
        }
        sae_result_free(r);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict");
    TCase *tcase = tcase_create("verdict");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, test_dense);
    tcase_add_test(tcase, test_thresholds);
    tcase_add_test(tcase, test_pairs);
    tcase_add_test(tcase, test_percent);
    tcase_add_test(tcase, test_null_of_the_reduction);
    tcase_add_test(tcase, test_both);
    tcase_add_test(tcase, test_topics);
    tcase_add_test(tcase, test_aimed);
    tcase_add_test(tcase, test_codes);
    tcase_add_test(tcase, test_overlap);
    tcase_add_test(tcase, test_beside_pca);
    tcase_add_test(tcase, test_share);
    tcase_add_test(tcase, test_necessity);
    tcase_add_test(tcase, test_redundancy);
    tcase_add_test(tcase, test_rank);
    tcase_add_test(tcase, test_outliers);
    tcase_add_test(tcase, test_matching);
    tcase_add_test(tcase, test_matching_baselines);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
