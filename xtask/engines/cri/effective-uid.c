/* Says who it runs as: set-user-ID in its image, so that no_new_privs shows. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("Effective uid: %d\n", geteuid());
	return 0;
}
