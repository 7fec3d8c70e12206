/*
 * knock PORT COUNT CLIENTS: so many connections to 127.0.0.1 by so many
 * processes, one after the other each: banner, quit, answer, end. Prints the
 * seconds that it took; exits 1 if one of them was not served as it should.
 *
 * knock: with no argument, the server of one connection.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BANNER "220 hello\r\n"
#define QUIT "QUIT\r\n"
#define BYE "221 bye\r\n"

static int serve(void)
{
	char line[64];

	if (write(1, BANNER, strlen(BANNER)) == -1 ||
	    read(0, line, sizeof(line)) < 4 || write(1, BYE, strlen(BYE)) == -1)
		return 1;
	return 0;
}

static int expect(int fd, const char *text)
{
	char got[64];
	size_t len = 0;

	while (len < strlen(text)) {
		ssize_t more = read(fd, got + len, sizeof(got) - len);

		if (more <= 0)
			return -1;
		len += (size_t)more;
	}
	return memcmp(got, text, len) == 0 ? 0 : -1;
}

static int knock(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char end;
	int result = -1;

	if (fd == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) ==
		    0 &&
	    expect(fd, BANNER) == 0 &&
	    write(fd, QUIT, strlen(QUIT)) == (ssize_t)strlen(QUIT) &&
	    expect(fd, BYE) == 0 && read(fd, &end, 1) == 0)
		result = 0;
	close(fd);
	return result;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	double begin = now_s();
	long count;
	long clients;
	int status;
	int failed = 0;

	if (argc == 1)
		return serve();
	if (argc != 4)
		return 100;
	address.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	count = strtol(argv[2], NULL, 10);
	clients = strtol(argv[3], NULL, 10);
	for (long i = 0; i < clients; i++)
		if (fork() == 0) {
			for (long n = i; n < count; n += clients)
				if (knock(&address) == -1)
					_exit(1);
			_exit(0);
		}
	while (wait(&status) > 0)
		failed |= status != 0;
	printf("%.6f\n", now_s() - begin);
	return failed;
}
