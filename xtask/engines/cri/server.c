/* A web server of one page, for tests that know one by its process: it is called `nginx: master process`, and its id is in
 * /var/run/nginx.pid. The port is its argument; without one, 80. It has to be started by its path. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static const char title[] = "nginx: master process";

int main(int count, char **words)
{
	const char *port = count > 1 ? words[1] : "80";
	static const char page[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
	struct timeval patience = {.tv_sec = 2};
	int on = 1;
	char request[4096];

	if (strcmp(words[0], title) != 0) {
		execl(words[0], title, port, NULL);
		perror("exec");
		return 1;
	}
	FILE *id = fopen("/var/run/nginx.pid", "w");
	if (id) {
		fprintf(id, "%d\n", getpid());
		fclose(id);
	}
	signal(SIGTERM, _exit);
	signal(SIGPIPE, SIG_IGN);
	int all = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(all, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(all, (struct sockaddr *)&any, sizeof any) || listen(all, 16)) {
		perror("port");
		return 1;
	}
	printf("httpd serves port %s\n", port);
	fflush(stdout);
	for (;;) {
		int one = accept(all, NULL, NULL);
		if (one < 0)
			continue;
		setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		if (read(one, request, sizeof request) > 0 && write(one, page, sizeof page - 1) < 0)
			perror("write");
		shutdown(one, SHUT_WR);
		/* What is closed with something unread is reset. */
		while (read(one, request, sizeof request) > 0)
			;
		close(one);
	}
}
