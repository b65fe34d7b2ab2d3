/* Two small programs in one, since both have to cost as little as possible.
 *
 *   floor run N J SHAPE BODY spawn              start `sh -c BODY` N times, J in flight, and wait
 *   floor run N J SHAPE BODY file DIR           the same with each one's output straight into a file of DIR
 *   floor run N J SHAPE BODY log FILE           the same with a line in FILE for each start and each end
 *   floor run N J SHAPE BODY group FILE MS      the same, synced by a thread, at most once in MS milliseconds
 *   floor run N J SHAPE BODY strict FILE        the same; a place is free again once its end is on disk
 *   floor measure OUT PROGRAM ARGUMENT...       run a program with its output into OUT; print what it took
 *
 * `measure` prints: wall time in ns, CPU time in us with all descendants that were waited for, the largest
 * resident set among them in KiB, and how it ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static int measure(int count, char **args) {
    if (count < 2) return 2;
    int out = open(args[0], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0) fail(args[0]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pid_t child;
    int error = posix_spawnp(&child, args[1], &actions, 0, args + 1, environ);
    if (error) {
        errno = error;
        fail(args[1]);
    }
    int status;
    struct rusage used;
    while (wait4(child, &status, 0, &used) < 0)
        if (errno != EINTR) fail("wait4");
    clock_gettime(CLOCK_MONOTONIC, &end);
    long long wall = (end.tv_sec - begin.tv_sec) * 1000000000LL + (end.tv_nsec - begin.tv_nsec);
    long long cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec +
                    used.ru_stime.tv_usec;
    printf("%lld %lld %ld %d\n", wall, cpu, used.ru_maxrss,
           WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

/* The log: how many lines are written, and how many of them are on disk. */
static int log_file = -1, window_ms, strict, ending;
static long long written, durable;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void *sync_log(void *unused) {
    pthread_mutex_lock(&mutex);
    while (1) {
        while (durable == written && !ending) pthread_cond_wait(&changed, &mutex);
        if (durable == written) break;
        if (window_ms && !ending) {
            pthread_mutex_unlock(&mutex);
            usleep(window_ms * 1000);
            pthread_mutex_lock(&mutex);
        }
        long long until = written;
        pthread_mutex_unlock(&mutex);
        if (fdatasync(log_file)) fail("fdatasync");
        pthread_mutex_lock(&mutex);
        durable = until;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* One line; what its number is. */
static long long record(int node, const char *what) {
    static char line[256];
    if (log_file < 0) return 0;
    int length = snprintf(line, sizeof line, "{\"node\":%d,\"type\":\"%s\",\"pad\":\"%0160d\"}\n", node, what, node);
    if (write(log_file, line, length) != length) fail("write");
    pthread_mutex_lock(&mutex);
    long long number = ++written;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return number;
}

/* Whether a node of this shape waits for all before it. */
static int waits(const char *shape, int node) {
    if (!strcmp(shape, "chain")) return 1;
    if (!strcmp(shape, "diamond")) return node % 4 != 2;
    return 0;
}

static void start(int node, char *body, const char *directory) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (directory) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", directory, node);
        posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    char *args[] = {"sh", "-c", body, 0};
    pid_t child;
    int error = posix_spawn(&child, "/bin/sh", &actions, 0, args, environ);
    if (error) {
        errno = error;
        fail("/bin/sh");
    }
    posix_spawn_file_actions_destroy(&actions);
}

static void wait_one(void) {
    int status;
    if (wait(&status) < 0) fail("wait");
    if (status) {
        fprintf(stderr, "a node failed\n");
        exit(1);
    }
    long long number = record(0, "node.completed");
    if (!strict) return;
    pthread_mutex_lock(&mutex);
    while (durable < number) pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static int run(int count, char **args) {
    if (count < 5) return 2;
    int nodes = atoi(args[0]), jobs = atoi(args[1]), live = 0;
    char *shape = args[2], *body = args[3], *mode = args[4], *directory = 0;
    if (!strcmp(mode, "file") && count == 6) directory = args[5];
    int grouped = !strcmp(mode, "group") && count == 7;
    strict = !strcmp(mode, "strict") && count == 6;
    if (grouped) window_ms = atoi(args[6]);
    pthread_t syncing;
    if (grouped || strict || (!strcmp(mode, "log") && count == 6)) {
        log_file = open(args[5], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
        if (log_file < 0) fail(args[5]);
        if ((grouped || strict) && pthread_create(&syncing, 0, sync_log, 0)) fail("pthread_create");
    } else if (!directory && strcmp(mode, "spawn")) {
        return 2;
    }
    for (int node = 0; node < nodes; node++) {
        while (live && (live == jobs || waits(shape, node))) {
            wait_one();
            live--;
        }
        record(node, "node.started");
        start(node, body, directory);
        live++;
    }
    for (; live; live--) wait_one();
    if (grouped || strict) {
        pthread_mutex_lock(&mutex);
        ending = 1;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
        pthread_join(syncing, 0);
    }
    return 0;
}

int main(int count, char **args) {
    int code = 2;
    if (count > 2 && !strcmp(args[1], "measure")) code = measure(count - 2, args + 2);
    if (count > 2 && !strcmp(args[1], "run")) code = run(count - 2, args + 2);
    if (code == 2) fprintf(stderr, "the head of floor.c says how it is called\n");
    return code;
}
