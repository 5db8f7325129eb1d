/* calls NAME COUNT: nanoseconds of one system call, over so many of them: `getppid`, which a profile allows whatever its
 * arguments, so that the kernel need not run the filter, or `personality`, which Docker's allows for some arguments only. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv)
{
	long count, number;
	double begin;

	if (argc != 3)
		return 98;
	count = atol(argv[2]);
	number = strcmp(argv[1], "personality") == 0 ? SYS_personality : SYS_getppid;
	if (syscall(number, 0xffffffffUL) < 0)
		return 99;
	begin = now();
	for (long n = 0; n < count; n++)
		syscall(number, 0xffffffffUL);
	printf("%.3f\n", (now() - begin) / count);
	return 0;
}
