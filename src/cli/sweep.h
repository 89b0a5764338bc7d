/*
 * sweep.h - the parts of `sae sweep`. OUT holds
 *   sweep.json             the newest command, its data, and recipes and dictionaries: those that it names, and those that were finished
 *                          before; another one goes on only with the same data and constants
 *   groups/001/            a group, which shares memory and recipe: group.json (names, recipe), log.jsonl, time.jsonl, checkpoints/ while it runs
 *   NAME/sae               a finished dictionary, and
 *   NAME/result.json       its recipe and what it measured: its presence says that the dictionary is finished; "weights_xxh3" is of what
 *                          stands in NAME/sae; of one that diverged "diverged", a message, in place of measurements and of NAME/sae;
 *                          "text_xxh3" is of what was read where the sweep was begun with a text from a pipe,
 *                          of one that diverged "text_place" says up to which row
 *   results.json, report.html   all of them, and how many of the rows that they were measured on were trained on (null: not known)
 */
#ifndef SAE_CLI_SWEEP_H
#define SAE_CLI_SWEEP_H

#include "cli/train.h"
#include "io/io.h"

typedef struct sweep {
    args *a;
    const char *folder; /* NULL: --plan without --out */
    int lock;           /* on it; -1: none yet */
    train_input in;
    train_dicts dicts; /* the first n_asked are the command's, the others stand there */
    int n_asked;
    sae_train_options *recipes; /* [n_recipes] different ones; batch and steps are the same in all */
    int *recipe_of;             /* [dicts.n] */
    int n_recipes;
    sae_scaffold_export how;
    size_t budget;  /* bytes that a group may take */
    bool *finished; /* [dicts.n] nothing is left to do: measured, or diverged */
    bool *diverged; /* [dicts.n] its numbers became infinite or undefined: it was set aside */
    int *group;     /* [dicts.n] number of its group, from 1; 0: none, it was finished before */
    int n_groups;   /* the highest number */
    char text[24];  /* of a text from a pipe, the checksum that the finished ones have of what was read; "": none has */
    json_t *
        text_place; /* the place farthest on at which one diverged, with the checksum up to there; NULL: there is none; owned */
} sweep;

/* Dictionaries of one group or one recipe: configs and names are borrowed from the sweep's, the two lists are owned. */
typedef struct sweep_part {
    train_dicts dicts;
    int *index; /* [dicts.n] in the sweep */
    const sae_train_options *recipe;
} sweep_part;

/* sweep_recipes.c */
/* The recipe of each dictionary, checked. Caller frees recipes and recipe_of. */
sae_status sweep_make_recipes(sweep *s, sae_error *err);
/* One: its constants. Several: a list of {"dictionaries": names, "constants"}. NULL: no memory. Caller json_decref's. */
json_t *sweep_recipes_json(const sweep *s);
/* Dictionary i may go on from what was written of it in `path`: STATE when its recipe, or what sweep_dict_json says, was another. */
sae_status sweep_same_dict(const sweep *s, int i, const json_t *dict, const json_t *recipe, const char *path,
                           sae_error *err);
/* All that makes the dictionary what it is beside the recipe, and in which form it is exported. NULL: no memory. */
json_t *sweep_dict_json(const sweep *s, int i);
/* --plan: what each group that is to be trained takes, which follow one another. */
sae_status sweep_tell_plan(const sweep *s, sae_error *err);

/* sweep_groups.c */
/* Which dictionaries are finished, which belong to a group that was begun; the others are put into groups that fit. */
sae_status sweep_make_groups(sweep *s, sae_error *err);
/* A line for each group that is to be trained; with --plan only what may be used: the plan tells the rest. */
void sweep_tell_groups(const sweep *s);
bool sweep_group_is_open(const sweep *s, int group); /* has a member that is not finished */
/* Those i with of[i] == number: of is s->group or s->recipe_of. */
sae_status sweep_part_make(sweep_part *out, const sweep *s, const int *of, int number, sae_error *err);
void sweep_part_free(sweep_part *p);
char *sweep_group_folder(const sweep *s, int group, sae_error *err); /* mem_free */
sae_status sweep_group_begin(const sweep *s, const sweep_part *p, int group,
                             sae_error *err); /* folder and group.json */

/* What measuring the largest of them takes at the end. */
size_t sweep_part_measure_bytes(const sweep *s, const sweep_part *p);

/* sweep_finished.c */
int sweep_index_of(const sweep *s, const char *name); /* -1: it is none of the sweep's */
/* Fills s->finished and s->diverged; STATE when what is finished was trained otherwise than this command would. */
sae_status sweep_find_finished(sweep *s, sae_error *err);
/* Of a dictionary that this command may not name; for those that it does after sweep_find_finished. */
sae_status sweep_is_finished(const sweep *s, const char *name, bool *finished, sae_error *err);
/* OUT/NAME/result.json, of a dictionary that may not be of this grid; *finished: it is there, and so is the dictionary, or it diverged.
 * Caller frees both. */
sae_status sweep_read_result(const sweep *s, const char *name, bool *finished, bool *diverged, json_t **result,
                             char **path, sae_error *err);
/* The checksum of the weights in FOLDER/sae, for result.json; progress NULL: nobody listens. */
sae_status sweep_weights_hash(const char *folder, const sae_progress *progress, char out[HASH_TEXT], sae_error *err);

/* Notes the checksum of a result, or of one that diverged. */
void sweep_note_text(sweep *s, const json_t *result);

/* sweep_foreign.c */
/* EXISTS when something in OUT would be in the way of what is still to be trained or, with --force, lost, and no sweep put it there. */
sae_status sweep_check_foreign(const sweep *s, bool force, sae_error *err);

/* sweep_standing.c */
/* Of what lies in the folder, names [n], takes the finished dictionaries that this command does not name behind those that it does; STATE
 * when they were trained by other constants, for other steps or with other choices than this command's. */
sae_status sweep_take_standing(sweep *s, char **names, int n, sae_error *err);
bool sweep_asks_for(const sweep *s, const char *name); /* this command names it */

/* sweep_measure.c */
enum { SWEEP_MEASURE_ROWS = 16384, SWEEP_MEASURE_CHUNK = 2048 };
int64_t sweep_measure_rows(const sweep *s);                              /* fewer where they are wide */
size_t sweep_measure_bytes(const sweep *s, const sae_dict_config *dict); /* that measuring takes beside the trainer */
/* Exports each dictionary of a trained group that is not finished and measures it on the rows behind the trained ones. */
sae_status sweep_finish_group(sweep *s, const sweep_part *p, int group, const sae_trainer *t, sae_error *err);
/* Member i of the part diverged, as `why` says: its result tells so, and its group goes on without it. */
sae_status sweep_set_aside(sweep *s, const sweep_part *p, int i, const char *why, sae_error *err);

/* sweep_report.c: results.json, report.html and, on standard output, the table (or, with --json, the same as JSON). NUMERIC, when
 * all of that is written and some dictionary that the command names diverged. */
sae_status sweep_report(const sweep *s, sae_error *err);

#endif
