/* calls NAME SLICES COUNT: nanoseconds of one system call, in the fastest of so many slices of so many calls each: what
 * interrupts a slice makes it slower and never faster. NAME is `getppid`, which a profile allows whatever its arguments, so
 * that the kernel need not run the filter, or `personality`, which Docker's allows for some arguments only. */
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
	long slices, count, number;
	double begin, took, least = 0;

	if (argc != 4)
		return 98;
	slices = atol(argv[2]);
	count = atol(argv[3]);
	number = strcmp(argv[1], "personality") == 0 ? SYS_personality : SYS_getppid;
	if (syscall(number, 0xffffffffUL) < 0)
		return 99;
	for (long slice = 0; slice < slices; slice++) {
		begin = now();
		for (long n = 0; n < count; n++)
			syscall(number, 0xffffffffUL);
		took = now() - begin;
		if (slice == 0 || took < least)
			least = took;
	}
	printf("%.3f\n", least / count);
	return 0;
}
