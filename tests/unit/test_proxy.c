#include "tests/unit/unit.h"
#include "tools/ucspi/proxy.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(literal)                                                         \
	{                                                                      \
		"" literal, sizeof(literal) - 1                                \
	}

/* `remote port local port` of a header. */
static void describe(struct str *to, const struct proxy_header *header)
{
	str_reset(to);
	if (!header->is_announced)
		return;
	ipaddr_format(to, &header->remote_ip);
	str_appendf(to, " %u ", header->remote_port);
	ipaddr_format(to, &header->local_ip);
	str_appendf(to, " %u", header->local_port);
}

static const struct {
	struct view bytes;
	const char *want;
} good[] = {
	{ BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"),
	  "192.0.2.1 4711 198.51.100.2 25" },
	{ BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	  "255.255.255.255 65535 255.255.255.255 65535" },
	{ BYTES("PROXY TCP6 2001:db8::1 ::1 1 0\r\n"), "2001:db8::1 1 ::1 0" },
	{ BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
	  "192.0.2.1 1 ::1 2" },
	{ BYTES("PROXY UNKNOWN\r\n"), "" },
	{ BYTES("PROXY UNKNOWN ffff:f...f:ffff 65535 anything\r\n"), "" },
	{ BYTES(V2 "\x20\x00\0\0"), "" },
	{ BYTES(V2 "\x20\x31\0\3abc"), "" },
	{ BYTES(V2 "\x21\x00\0\5abcde"), "" },
	{ BYTES(V2 "\x21\x11\0\14\300\0\2\1\306\63\144\2\x12\x67\0\x19"),
	  "192.0.2.1 4711 198.51.100.2 25" },
	{ BYTES(V2 "\x21\x11\0\21\300\0\2\1\306\63\144\2\x12\x67\0\x19"
		   "\4\0\2ab"),
	  "192.0.2.1 4711 198.51.100.2 25" },
	{ BYTES(V2 "\x21\x21\0\44"
		   "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
		   "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2"
		   "\xff\xff\0\1"),
	  "2001:db8::1 65535 192.0.2.2 1" },
};

/* Each alone, with the client's bytes behind it, and in pieces. */
static void test_good_headers(void **state)
{
	struct str bytes = { 0 };
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		size_t length = good[i].bytes.len;
		struct proxy_header header;

		str_set(&bytes, good[i].bytes);
		str_append(&bytes, VIEW("EHLO x\r\n"));
		for (size_t n = 0; n < length; n++)
			assert_int_equal(
				proxy_parse(view_first(str_view(&bytes), n),
					    &header),
				PROXY_MORE);
		for (size_t n = length; n <= bytes.len; n++) {
			assert_int_equal(
				proxy_parse(view_first(str_view(&bytes), n),
					    &header),
				PROXY_OK);
			assert_int_equal(header.length, length);
			describe(&got, &header);
			assert_string_equal(str_c(&got), good[i].want);
		}
		assert_true(proxy_begins(str_view(&bytes)));
	}
	str_free(&bytes);
	str_free(&got);
}

static void test_bad_headers(void **state)
{
	static const struct view bad[] = {
		BYTES("EHLO x\r\n"),
		BYTES("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
		BYTES("PROXY\r\n"),
		BYTES("PROXY \r\n"),
		BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n"),
		BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 000002\r\n"),
		BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"),
		BYTES("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"),
		BYTES("PROXY TCP4 ::1 ::2 1 2\r\n"),
		BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
		BYTES("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"),
		BYTES("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"),
		/* 107 bytes without an end; 108 with one */
		BYTES("PROXY UNKNOWN 345678901234567890123456789012345678901234"
		      "567890123456789012345678901234567890123456789012345678"),
		BYTES("PROXY UNKNOWN 345678901234567890123456789012345678901234"
		      "56789012345678901234567890123456789012345678901234\r\n"),
		BYTES(V2 "\x11\x11\0\0"),              /* another version */
		BYTES(V2 "\x22\x11\0\0"),              /* another command */
		BYTES(V2 "\x21\x12\0\14............"), /* UDP */
		BYTES(V2 "\x21\x31\0\1."),             /* a Unix socket */
		BYTES(V2 "\x21\x01\0\0"),
		BYTES(V2 "\x21\x11\0\13..........."), /* too short */
		BYTES(V2 "\x21\x21\0\43..................................."),
		BYTES(V2 "\x20\x00\x0f\xf1"), /* 4097 bytes */
		BYTES("\r\n\r\n\0\r\nQUIT\r"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct proxy_header header;

		if (proxy_parse(bad[i], &header) != PROXY_BAD)
			fail_msg("case %zu is accepted", i);
	}
}

static void test_the_longest_line_passes(void **state)
{
	struct str line = { 0 };
	struct proxy_header header;

	(void)state;
	str_append(&line, VIEW("PROXY UNKNOWN "));
	while (line.len < 105)
		str_append_byte(&line, 'x');
	str_append(&line, VIEW("\r\n"));
	assert_int_equal(proxy_parse(str_view(&line), &header), PROXY_OK);
	assert_int_equal(header.length, 107);
	str_free(&line);
}

static void test_part_of_a_signature_is_none_yet(void **state)
{
	(void)state;
	assert_false(proxy_begins(VIEW("PROXY")));
	assert_false(proxy_begins(VIEW("\r\n\r\n\0\r\nQUIT")));
	assert_true(proxy_begins(VIEW("PROXY ")));
	assert_true(proxy_begins(VIEW(V2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_headers),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_the_longest_line_passes),
		cmocka_unit_test(test_part_of_a_signature_is_none_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
