/* libseccomp as a program: filters are read from standard input, and written as BPF to standard output. For each filter:
 *   filter OPTIMIZE DEFAULT ARCHS TOKEN... RULES, then for each rule: ACTION NAME CONDITIONS [INDEX OPERATOR VALUE VALUE]...
 * The answer is "RESULT SIZE NANOSECONDS" and a new line, then SIZE bytes. Rules that libseccomp refuses end the filter. Of
 * some it makes no end itself: their result is -ETIMEDOUT. */
#define _GNU_SOURCE
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct rule {
	uint32_t action;
	char name[64];
	unsigned count;
	struct scmp_arg_cmp conditions[6];
};

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int build(int fd, int optimize, uint32_t action, uint32_t *archs, unsigned arch_count, struct rule *rules,
		 unsigned rule_count)
{
	scmp_filter_ctx filter = seccomp_init(action);
	int result = filter ? 0 : -1;
	/* The machine's own is there, unless the first one is another machine's. */
	if (result == 0 && archs[0] != seccomp_arch_native())
		result = seccomp_arch_add(filter, archs[0]) ?: seccomp_arch_remove(filter, seccomp_arch_native());
	for (unsigned n = 1; result == 0 && n < arch_count; n++)
		result = seccomp_arch_add(filter, archs[n]);
	if (result == 0)
		result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, optimize);
	for (unsigned n = 0; result == 0 && n < rule_count; n++) {
		int number = seccomp_syscall_resolve_name(rules[n].name);
		if (number != __NR_SCMP_ERROR)
			result = seccomp_rule_add_array(filter, rules[n].action, number, rules[n].count, rules[n].conditions);
	}
	if (result == 0)
		result = seccomp_export_bpf(filter, fd);
	if (filter)
		seccomp_release(filter);
	return result;
}

/* All of the request was read, and nothing of the answer written: it goes on anew. */
static void give_up(int signal)
{
	static const char answer[] = "-110 0 0\n";
	(void)signal;
	if (write(1, answer, sizeof answer - 1) > 0)
		execl("/proc/self/exe", "libseccomp", NULL);
	_exit(1);
}

int main(void)
{
	unsigned optimize, action, arch_count, rule_count;
	/* Not blocked in the handler, and so not in what it executes. */
	struct sigaction limit = { .sa_handler = give_up, .sa_flags = SA_NODEFER };
	sigaction(SIGALRM, &limit, NULL);
	seccomp_api_set(6);
	while (scanf(" filter %u %u %u", &optimize, &action, &arch_count) == 3) {
		uint32_t *archs = calloc(arch_count, sizeof *archs);
		for (unsigned n = 0; n < arch_count; n++)
			if (scanf("%u", &archs[n]) != 1)
				return 1;
		if (scanf("%u", &rule_count) != 1)
			return 1;
		struct rule *rules = calloc(rule_count + 1, sizeof *rules);
		for (unsigned n = 0; n < rule_count; n++) {
			if (scanf("%u %63s %u", &rules[n].action, rules[n].name, &rules[n].count) != 3 || rules[n].count > 6)
				return 1;
			for (unsigned m = 0; m < rules[n].count; m++) {
				unsigned index, operator;
				unsigned long long a, b;
				if (scanf("%u %u %llu %llu", &index, &operator, &a, &b) != 4)
					return 1;
				rules[n].conditions[m] = (struct scmp_arg_cmp){ index, operator, a, b };
			}
		}
		int fd = memfd_create("filter", 0);
		alarm(3);
		long long begin = now();
		int result = build(fd, optimize, action, archs, arch_count, rules, rule_count);
		long long time = now() - begin;
		alarm(0);
		off_t size = result == 0 ? lseek(fd, 0, SEEK_END) : 0;
		void *program = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
		printf("%d %ld %lld\n", result, (long)size, time);
		if (size)
			fwrite(program, 1, size, stdout), munmap(program, size);
		fflush(stdout);
		close(fd);
		free(archs);
		free(rules);
	}
	return 0;
}
