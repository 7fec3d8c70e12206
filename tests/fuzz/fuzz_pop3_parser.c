/*
 * What a stranger sends before log-in. Whatever it is: the monitor gets two
 * strings or nothing, and every byte behind the last line that was obeyed is
 * still in the socket.
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "popd/parser.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX_BYTES 16384 /* fits into the socket */

/* What is left unread must be the end of the input, from a line's start. */
static void check_rest(int sock, struct view input)
{
	char rest[INPUT_MAX_BYTES];
	ssize_t len = read(sock, rest, sizeof(rest));
	struct view end;

	assert(len >= 0 && (size_t)len < input.len);
	end = view_from(input, input.len - (size_t)len);
	assert(view_eq(end, view_make(rest, (size_t)len)));
	assert(end.p[-1] == '\n');
}

static void check_pair(struct view text)
{
	struct view user = view_cut(&text, '\0');
	struct view secret = view_cut(&text, '\0');

	assert(user.len && secret.len && text.p && text.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static int null = -1;
	struct credentials credentials = { 0 };
	struct view input = view_make(bytes, size);
	int fds[2];

	if (size > INPUT_MAX_BYTES)
		return 0;
	if (null == -1)
		null = open("/dev/null", O_WRONLY);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == -1)
		return 0;
	if (size)
		assert(write(fds[1], bytes, size) == (ssize_t)size);
	shutdown(fds[1], SHUT_WR);
	if (parser_run(fds[0], null, "<1.2@h>", &credentials) ==
	    PARSER_LOG_IN) {
		check_pair(str_view(&credentials.text));
		check_rest(fds[0], input);
	} else {
		assert(credentials.text.len == 0);
	}
	str_free(&credentials.text);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
