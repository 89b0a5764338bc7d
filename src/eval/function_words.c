/*
 * function_words.c - English words of closed classes. A list, in place of a tagger: a word that is of an open class only in
 * some sentences ("will", "like", "round") is taken for what it mostly is.
 */
#include "eval/reading.h"

#include <stdlib.h>
#include <string.h>

/* In the order of their bytes. */
static const char *const words[] = {
    "a",          "about",    "above",      "across",   "after",   "against", "albeit",    "all",      "along",
    "alongside",  "although", "am",         "amid",     "among",   "amongst", "an",        "and",      "another",
    "any",        "anybody",  "anyone",     "anything", "are",     "around",  "as",        "at",       "atop",
    "be",         "because",  "been",       "before",   "behind",  "being",   "below",     "beneath",  "beside",
    "besides",    "between",  "beyond",     "both",     "but",     "by",      "ca",        "can",      "cannot",
    "concerning", "could",    "d",          "despite",  "did",     "do",      "does",      "doing",    "done",
    "down",       "during",   "each",       "either",   "enough",  "every",   "everybody", "everyone", "everything",
    "except",     "few",      "fewer",      "for",      "from",    "had",     "has",       "have",     "having",
    "he",         "her",      "hers",       "herself",  "him",     "himself", "his",       "how",      "however",
    "i",          "if",       "in",         "inside",   "into",    "is",      "it",        "its",      "itself",
    "lest",       "ll",       "m",          "many",     "may",     "me",      "might",     "mine",     "more",
    "most",       "much",     "must",       "my",       "myself",  "near",    "neither",   "no",       "nobody",
    "none",       "nor",      "not",        "nothing",  "o",       "of",      "off",       "on",       "once",
    "one",        "oneself",  "onto",       "or",       "other",   "others",  "ought",     "our",      "ours",
    "ourselves",  "out",      "outside",    "over",     "per",     "re",      "s",         "several",  "sha",
    "shall",      "she",      "should",     "since",    "so",      "some",    "somebody",  "someone",  "something",
    "such",       "t",        "than",       "that",     "the",     "thee",    "their",     "theirs",   "them",
    "themselves", "then",     "there",      "these",    "they",    "thine",   "this",      "those",    "thou",
    "though",     "through",  "throughout", "thy",      "till",    "to",      "toward",    "towards",  "under",
    "underneath", "unless",   "unlike",     "until",    "unto",    "up",      "upon",      "us",       "ve",
    "versus",     "via",      "was",        "we",       "were",    "what",    "whatever",  "when",     "whence",
    "whenever",   "where",    "whereas",    "wherever", "whether", "which",   "whichever", "while",    "whilst",
    "who",        "whoever",  "whom",       "whose",    "why",     "will",    "with",      "within",   "without",
    "wo",         "would",    "ye",         "yet",      "you",     "your",    "yours",     "yourself", "yourselves"};

static int compare_words(const void *a, const void *b) { return strcmp(a, *(const char *const *)b); }

bool is_function_word(const char *word, size_t bytes)
{
    char plain[32];
    const char *apostrophe;

    if (bytes == 0 || bytes >= sizeof plain) return false; /* none in the list is as long */
    memcpy(plain, word, bytes);
    plain[bytes] = '\0';
    apostrophe = strchr(plain, '\'');
    if (apostrophe && apostrophe > plain) {
        bytes = (size_t)(apostrophe - plain);
        if (strcmp(apostrophe, "'t") == 0 && bytes > 1 && plain[bytes - 1] == 'n')
            bytes--; /* do-n't; can't is ca-n't */
        plain[bytes] = '\0';
    }
    return bsearch(plain, words, sizeof words / sizeof *words, sizeof *words, compare_words) != NULL;
}
