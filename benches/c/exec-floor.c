/* The floor of exec: exec-floor PID CGROUP runs /bin/true in the container of PID: its namespaces, its cgroup, and the confinement
 * that the default config.json asks for, with nothing else. The status is the program's. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(99);
	}
}

static void confine_and_execute(void)
{
	static const unsigned held = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct rlimit files = { 1024, 1024 };
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2] = { { held, held, 0 }, { 0, 0, 0 } };
	char *args[] = { "/bin/true", NULL };
	char *env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL };

	check(setsid(), "setsid");
	check(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.floor", 0, 0, 0), "keyctl");
	check(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap > 31 || !(held & 1u << cap))
			check(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "PR_CAPBSET_DROP");
	check(setgid(0), "setgid");
	check(setuid(0), "setuid");
	check(syscall(SYS_capset, &header, sets), "capset");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
	check(chdir("/"), "chdir");
	check(syscall(SYS_close_range, 3, ~0u, 0), "close_range");
	execve(args[0], args, env);
	check(-1, "execve");
}

int main(int argc, char **argv)
{
	struct clone_args clone = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD };
	int pidfd, pid, status;

	if (argc != 3)
		return 98;
	pidfd = syscall(SYS_pidfd_open, atoi(argv[1]), 0);
	check(pidfd, "pidfd_open");
	clone.cgroup = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	check((int)clone.cgroup, argv[2]);
	check(setns(pidfd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP), "setns");
	pid = syscall(SYS_clone3, &clone, sizeof clone);
	check(pid, "clone3");
	if (pid == 0)
		confine_and_execute();
	check(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}
