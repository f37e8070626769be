/* swarm.c -- starts a command COUNT times at once and says how long each took to come back:
 *
 *   swarm COUNT PROGRAM WORD...      "%" in a word is the number of the process, from 1
 *
 * prints, in milliseconds, the median and the longest time by the clock, and the median of the processor's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct run {
	pid_t pid;
	double begun, wall, cpu;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* WORD with NUMBER in the place of each "%". */
static char *fill(const char *word, int number)
{
	char *filled = malloc(12 * strlen(word) + 1), *at = filled;

	if (!filled)
		_exit(127);
	for (; *word; word++)
		at += *word == '%' ? sprintf(at, "%d", number) : sprintf(at, "%c", *word);
	*at = '\0';
	return filled;
}

static void become(char **words, int number)
{
	for (char **word = words; *word; word++)
		*word = fill(*word, number);
	execvp(words[0], words);
	_exit(127);
}

static double milliseconds(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

/* Returns how many did not end well. */
static int reap(struct run *runs, int count)
{
	struct rusage usage;
	int status, failed = 0;
	pid_t pid;

	while ((pid = wait4(-1, &status, 0, &usage)) > 0) {
		for (int i = 0; i < count; i++)
			if (runs[i].pid == pid) {
				runs[i].wall = now() - runs[i].begun;
				runs[i].cpu = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
				failed += status != 0;
			}
	}
	return failed;
}

static int by_wall(const void *a, const void *b)
{
	const struct run *first = a, *second = b;

	return (first->wall > second->wall) - (first->wall < second->wall);
}

static int by_cpu(const void *a, const void *b)
{
	const struct run *first = a, *second = b;

	return (first->cpu > second->cpu) - (first->cpu < second->cpu);
}

int main(int argc, char **argv)
{
	int failed, count = argc > 2 ? atoi(argv[1]) : 0;
	struct run *runs = count > 0 ? calloc((size_t)count, sizeof *runs) : NULL;

	if (!runs)
		return 2;
	for (int i = 0; i < count; i++) {
		runs[i].begun = now();
		runs[i].pid = fork();
		if (runs[i].pid == 0)
			become(argv + 2, i + 1);
	}
	failed = reap(runs, count);
	qsort(runs, (size_t)count, sizeof *runs, by_wall);
	printf("%.1f %.1f ", runs[count / 2].wall, runs[count - 1].wall);
	qsort(runs, (size_t)count, sizeof *runs, by_cpu);
	printf("%.1f\n", runs[count / 2].cpu);
	free(runs);
	if (failed)
		fprintf(stderr, "%d of %d failed\n", failed, count);
	return failed > 0;
}
