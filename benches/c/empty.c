/* A program that does nothing: linked statically, the least that starting any program costs. */
int main(void)
{
	return 0;
}
