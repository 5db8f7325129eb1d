/* Makes one system call after the other and prints what each returned: "ABI NUMBER ARGUMENT..., ABI ...", of which ABI is
 * one of x86_64, x86 (int 0x80) and x32. Without a libc, so that it makes no other calls but write and exit_group; with
 * "quiet" for its first word not even write. */
#define X32 0x40000000

static long native(long number, const long *a)
{
	register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static long compatible(long number, const long *a)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
			 : "r8", "r9", "r10", "r11", "memory");
	return result;
}

static void print(long number)
{
	char text[24], *end = text + sizeof text, *at = end;
	unsigned long rest = number < 0 ? -number : number;
	*--at = '\n';
	do
		*--at = '0' + rest % 10;
	while (rest /= 10);
	if (number < 0)
		*--at = '-';
	native(1, (long[6]){ 1, (long)at, end - at });
}

/* A number, or the address of the word. */
static long value(const char *word)
{
	unsigned long number = 0;
	if (word[0] < '0' || word[0] > '9')
		return (long)word;
	if (word[0] == '0' && word[1] == 'x')
		for (word += 2; *word; word++)
			number = number * 16 + (*word <= '9' ? *word - '0' : *word - 'a' + 10);
	else
		for (; *word; word++)
			number = number * 10 + (*word - '0');
	return (long)number;
}

__attribute__((used)) void start(long *stack)
{
	char **word = (char **)stack + 2;
	int quiet = *word && (*word)[0] == 'q';
	word += quiet;
	while (*word) {
		const char *abi = *word++;
		long number = *word ? value(*word++) : 0, arguments[6] = { 0 };
		for (int n = 0; *word && (*word)[0] != ','; word++)
			if (n < 6)
				arguments[n++] = value(*word);
		if (*word)
			word++;
		long result = abi[1] == '8' && abi[3] == 0 ? compatible(number, arguments)
			      : abi[1] == '3'		   ? native(number | X32, arguments)
							   : native(number, arguments);
		if (!quiet)
			print(result);
	}
	native(231, (long[6]){ 0 });
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall start\nud2\n");
