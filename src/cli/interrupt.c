/*
 * interrupt.c - Ctrl-C and SIGTERM, taken by a thread of their own.
 *
 * oneDNN's generated products run with the stack pointer in a block of the heap (gdb shows it in oneDNN 2.6.3 with AVX-512). A handler's
 * frame is then written below it, over whatever lies there: runs that were stopped in a forward pass ended now and then in
 * malloc's "corrupted size". So no thread that computes may run a handler: both signals are blocked before any other thread
 * begins, and waited for here.
 */
#include "cli/cli.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool listening, seen;
static bool ignored[2]; /* as the program was begun: by nohup, trap '' INT, or in the background of a script */
static const int signals[2] = {SIGINT, SIGTERM};

static void both(sigset_t *set)
{
    sigemptyset(set);
    for (int i = 0; i < 2; i++) sigaddset(set, signals[i]);
}

/* As if nobody had ever waited for it. */
static void end_by(int number, const sigset_t *set)
{
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
    raise(number);
}

/* The first one asks the running call to stop; a second one ends the program at once. */
static void *wait_for_signals(void *unused)
{
    static const char stopping[] = "\nstopping at the next step; once more: at once\n";
    sigset_t set;
    int number;

    (void)unused;
    both(&set);
    while (sigwait(&set, &number) == 0) {
        if (ignored[number == SIGTERM])
            continue; /* whoever began the program wants it so, and not only until it listens */
        if (!listening || seen) end_by(number, &set);
        seen = true;
        if (isatty(STDERR_FILENO)) {
            ssize_t written = write(STDERR_FILENO, stopping, sizeof stopping - 1);
            (void)written;
        }
    }
    return NULL;
}

void interrupt_begin(void)
{
    struct sigaction now;
    pthread_t thread;
    sigset_t set;

    both(&set);
    for (int i = 0; i < 2; i++) ignored[i] = sigaction(signals[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN;
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* then they end the program */
}

void interrupt_listen(void) { listening = true; }

bool interrupted(void) { return seen; }
