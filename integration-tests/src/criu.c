/* A criu whose conversation a test holds: it gives its socket, descriptor 3, to whoever listens at PEER_SOCKET, and then
 * does what that asks for: "s" makes a process that is no child of this one but a sibling, as criu makes what it restores,
 * and says its pid; "mSOURCE:TARGET:ro" makes it in mounts of its own, where SOURCE is mounted at TARGET, read-only or
 * ("rw") not; "xN" ends with N. It ends when nobody listens any more. */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int connected(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	return connect(control, (struct sockaddr *)&address, sizeof address) == 0 ? control : -1;
}

static int give(int control, int fd)
{
	char byte = 1, space[CMSG_SPACE(sizeof fd)];
	struct iovec vector = { &byte, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(rights), &fd, sizeof fd);
	return sendmsg(control, &message, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int mount_one(char *words)
{
	char *source = strtok(words, ":"), *target = strtok(NULL, ":"), *mode = strtok(NULL, ":");
	unsigned long again = MS_BIND | MS_REMOUNT | (strcmp(mode, "ro") == 0 ? MS_RDONLY : 0);
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) ||
	       mount(source, target, NULL, MS_BIND, NULL) || mount(NULL, target, NULL, again, NULL);
}

static int sibling(char *words)
{
	int done[2];
	char byte;
	if (pipe(done) != 0)
		return -1;
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		setsid();
		if (words[0] == 'm' && mount_one(words + 1) != 0)
			_exit(1);
		write(done[1], "1", 1);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	close(done[1]);
	if (read(done[0], &byte, 1) != 1)
		pid = -1;
	close(done[0]);
	return (int)pid;
}

int main(int count, char **words)
{
	char command[8192];
	if (count < 3 || strcmp(words[1], "swrk") != 0 || strcmp(words[2], "3") != 0)
		return 2;
	int control = connected(getenv("PEER_SOCKET"));
	if (control < 0 || give(control, 3) != 0)
		return 3;
	close(3);
	for (;;) {
		ssize_t length = recv(control, command, sizeof command - 1, 0);
		if (length <= 0)
			return 0;
		command[length] = 0;
		if (command[0] == 'x')
			return atoi(command + 1);
		int pid = sibling(command);
		send(control, &pid, sizeof pid, MSG_NOSIGNAL);
	}
}
