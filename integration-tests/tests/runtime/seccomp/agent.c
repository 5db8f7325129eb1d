/* A seccomp agent: SOCKET OUTPUT MODE. It listens at SOCKET, appends each container process state to OUTPUT, one a line, and
 * for every listener answers its notifications in a process of its own: mkdir(2) with EXDEV, and all others with their
 * own way on ("answer"); or closes it at once ("close"). Before a state there is 1 where its connection ended behind it. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void answer(int listener)
{
	for (;;) {
		struct pollfd watched = { .fd = listener, .events = POLLIN };
		poll(&watched, 1, -1);
		/* No process has the filter any more. */
		if (watched.revents & POLLHUP)
			_exit(0);
		struct seccomp_notif asked;
		memset(&asked, 0, sizeof asked);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			_exit(0);
		}
		struct seccomp_notif_resp reply = { .id = asked.id };
		if (asked.data.nr == SYS_mkdir)
			reply.error = -EXDEV;
		else
			reply.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
	}
}

int main(int count, char **words)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (count != 4)
		return 2;
	strncpy(address.sun_path, words[1], sizeof address.sun_path - 1);
	if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 16) != 0)
		return 1;
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int connection = accept(server, NULL, NULL);
		/* Containers that are not started yet do not keep others waiting. */
		if (fork() != 0) {
			close(connection);
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		static char state[1 << 16];
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec vector = { state, sizeof state - 1 };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
		ssize_t size = recvmsg(connection, &message, 0);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (size <= 0 || !header || header->cmsg_type != SCM_RIGHTS)
			_exit(1);
		/* One message, and then the end: a line that tells. */
		struct timeval soon = { .tv_usec = 300000 };
		setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
		char more;
		ssize_t left = read(connection, &more, 1);
		FILE *output = fopen(words[2], "a");
		fprintf(output, "%d %.*s\n", left == 0, (int)size, state);
		fclose(output);
		int listener;
		memcpy(&listener, CMSG_DATA(header), sizeof listener);
		if (strcmp(words[3], "close") == 0)
			_exit(0);
		answer(listener);
	}
}
