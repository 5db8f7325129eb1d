/* The process of a pod: it waits, takes up the processes of others, and ends when it is told to. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void gather(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void end(int number)
{
	(void)number;
	_exit(0);
}

int main(void)
{
	signal(SIGCHLD, gather);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	for (;;)
		pause();
}
