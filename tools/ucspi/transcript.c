#include "tools/ucspi/transcript.h"

static void begin(struct str *to, pid_t pid, char arrow)
{
	str_append_u64(to, (uint64_t)pid);
	str_append_byte(to, ' ');
	str_append_byte(to, arrow);
	str_append_byte(to, ' ');
}

void transcript_next(struct str *to, pid_t pid, char arrow, struct view *bytes,
		     size_t *at)
{
	size_t room = TRANSCRIPT_BLOCK_BYTES - *at % TRANSCRIPT_BLOCK_BYTES;
	struct view block = view_first(*bytes, room);
	size_t len = view_find(block, '\n');
	bool ended = len < block.len;

	begin(to, pid, arrow);
	str_append(to, view_first(block, len));
	str_append_c(to, ended ? " \n" : "+\n");
	if (ended)
		len++;
	*bytes = view_from(*bytes, len);
	*at += len;
}

void transcript_end(struct str *to, pid_t pid, char arrow)
{
	begin(to, pid, arrow);
	str_append_c(to, "[EOF]\n");
}
