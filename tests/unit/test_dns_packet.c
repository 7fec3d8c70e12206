#include "lib/dns_packet.h"
#include "tests/unit/dnspacket.h"
#include "tests/unit/unit.h"

#define ID 0x1234U
#define NO_SUCH_NAME 3U

/* ---- questions ---- */

static void test_names_that_can_and_cannot_be(void **state)
{
	static const char label63[] = "123456789-123456789-123456789-"
				      "123456789-123456789-123456789-123";
	static const struct {
		const char *name;
		size_t len; /* in the packet, 0: cannot be */
	} cases[] = {
		{ "example.org", 13 },
		{ "example.org.", 13 },
		{ "a", 3 },
		{ ".", 1 },
		{ "", 0 },
		{ "a..b", 0 },
		{ ".a", 0 },
		{ "a..", 0 },
		{ "a b.c", 7 },
		{ label63, 65 },
	};
	struct dns_question q;
	char text[1100];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool can_be =
			dns_question_make(&q, view_of(cases[i].name), DNS_TXT);

		assert_int_equal(can_be, cases[i].len != 0);
		if (can_be)
			assert_int_equal(q.len, cases[i].len + 4);
	}
	snprintf(text, sizeof(text), "x%s", label63);
	assert_false(dns_question_make(&q, view_of(text), DNS_A));
	assert_false(dns_question_make(&q, VIEW("a\0.b"), DNS_A));
	/* 253 and 254 letters and dots: 255 bytes in the packet are the most */
	memset(text, 'a', sizeof(text));
	for (size_t i = 49; i < sizeof(text); i += 50)
		text[i] = '.';
	assert_true(dns_question_make(&q, view_make(text, 253), DNS_A));
	assert_int_equal(q.len, DNS_QUESTION_MAX_BYTES);
	assert_false(dns_question_make(&q, view_make(text, 254), DNS_A));
	assert_false(dns_question_make(&q, view_make(text, 1100), DNS_A));
}

static void test_a_query_byte_by_byte(void **state)
{
	static const unsigned char want[] = {
		0x12, 0x34, 1,   0, 0,    1,   0, 0, 0,  0, 0,
		1,    1,    'a', 2, 'b',  'c', 0, 0, 16, 0, 1,
		0,    0,    41,  4, 0xd0, 0,   0, 0, 0,  0, 0,
	};
	unsigned char query[DNS_QUERY_MAX_BYTES];
	struct dns_question q;

	(void)state;
	assert_true(dns_question_make(&q, VIEW("a.bc"), DNS_TXT));
	assert_int_equal(dns_query_write(&q, ID, true, query), sizeof(want));
	assert_memory_equal(query, want, sizeof(want));
	assert_int_equal(dns_query_write(&q, ID, false, query),
			 sizeof(want) - 11);
	assert_int_equal(query[11], 0);
}

/* ---- answers ---- */

struct asked {
	struct dns_question q;
	struct str packet;
	struct dns_answer answer;
};

static void ask(struct asked *a, const char *name, enum dns_type type)
{
	*a = (struct asked){ 0 };
	assert_true(dns_question_make(&a->q, view_of(name), type));
}

/* Header and question of the answer. */
static void begin(struct asked *a, const char *name, enum dns_type type,
		  unsigned flags, unsigned answers)
{
	ask(a, name, type);
	put_header(&a->packet, ID, flags, answers);
	str_append(&a->packet, view_make(a->q.bytes, a->q.len));
}

static enum dns_reply read_it(struct asked *a)
{
	enum dns_reply reply =
		dns_packet_read(&a->q, ID, str_view(&a->packet), &a->answer);

	if (reply != DNS_REPLY_ANSWER) {
		assert_int_equal(a->answer.result, DNS_PENDING);
		assert_int_equal(a->answer.count, 0);
		assert_null(a->answer.records);
	}
	return reply;
}

static void done(struct asked *a)
{
	dns_answer_free(&a->answer);
	str_free(&a->packet);
}

static void expect(struct asked *a, enum dns_reply reply,
		   enum dns_result result)
{
	assert_int_equal(read_it(a), reply);
	assert_int_equal(a->answer.result, result);
	done(a);
}

static void assert_text(const struct dns_answer *answer, size_t i,
			const char *want)
{
	assert_true(i < answer->count);
	assert_string_equal(str_c(&answer->records[i].text), want);
}

static void test_addresses(void **state)
{
	struct str text = { 0 };
	struct asked a;

	(void)state;
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 2);
	put_record(&a.packet, "h.test", DNS_A, VIEW("\x7f\0\0\2"));
	put_record(&a.packet, "H.TEST", DNS_A, VIEW("\xc0\0\2\1"));
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	assert_int_equal(a.answer.result, DNS_FOUND);
	assert_int_equal(a.answer.count, 2);
	ipaddr_format(&text, &a.answer.records[1].ip);
	assert_string_equal(str_c(&text), "192.0.2.1");
	done(&a);

	begin(&a, "h.test", DNS_AAAA, ANSWER_FLAGS, 1);
	put_record(&a.packet, "h.test", DNS_AAAA,
		   VIEW("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"));
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	str_reset(&text);
	ipaddr_format(&text, &a.answer.records[0].ip);
	assert_string_equal(str_c(&text), "2001:db8::1");
	done(&a);
	str_free(&text);
}

static void test_texts(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "t.test", DNS_TXT, ANSWER_FLAGS, 3);
	put_record(&a.packet, "t.test", DNS_TXT, VIEW("\5hello\0\6 world"));
	put_record(&a.packet, "other.test", DNS_TXT, VIEW("\5other"));
	put_record(&a.packet, "t.test", DNS_TXT, VIEW("\0"));
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	assert_int_equal(a.answer.count, 2);
	assert_text(&a.answer, 0, "hello world");
	assert_text(&a.answer, 1, "");
	done(&a);
}

static void test_mail_exchangers_and_pointers(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "m.test", DNS_MX, ANSWER_FLAGS, 3);
	/* 12 is where the question's name begins. */
	put_record(&a.packet, "m.test", DNS_MX, VIEW("\0\5\2mx\xc0\x0c"));
	put_record(&a.packet, "m.test", DNS_MX, VIEW("\1\0\0"));
	put_record(&a.packet, "m.test", DNS_MX, VIEW("\0\1\3a.b\1 \0"));
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	assert_int_equal(a.answer.count, 3);
	assert_text(&a.answer, 0, "mx.m.test");
	assert_int_equal(a.answer.records[0].preference, 5);
	assert_text(&a.answer, 1, "");
	assert_int_equal(a.answer.records[1].preference, 256);
	assert_text(&a.answer, 2, "a\\.b.\\032");
	done(&a);

	begin(&a, "p.test", DNS_PTR, ANSWER_FLAGS, 1);
	put_record(&a.packet, "p.test", DNS_PTR, VIEW("\1h\4test\0"));
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	assert_text(&a.answer, 0, "h.test");
	done(&a);
}

static void test_a_hundred_records(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "h.test", DNS_TXT, ANSWER_FLAGS, 100);
	for (int i = 0; i < 100; i++) {
		str_append(&a.packet, VIEW("\xc0\x0c"));
		put_data(&a.packet, DNS_TXT, VIEW("\3txt"));
	}
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	assert_int_equal(a.answer.count, 100);
	assert_text(&a.answer, 99, "txt");
	done(&a);
}

/* ---- no ---- */

static void test_no_such_name_is_not_trouble(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "n.test", DNS_A, ANSWER_FLAGS | NO_SUCH_NAME, 0);
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
	begin(&a, "n.test", DNS_A, ANSWER_FLAGS, 0);
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
	/* Records of other names, types and classes are none. */
	begin(&a, "n.test", DNS_A, ANSWER_FLAGS, 2);
	put_record(&a.packet, "m.test", DNS_A, VIEW("\x7f\0\0\2"));
	put_record(&a.packet, "n.test", DNS_TXT, VIEW("\1x"));
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
	/* Authoritative, without recursion: rbldns. */
	begin(&a, "n.test", DNS_A, 0x8400, 0);
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
}

static void test_trouble_is_not_no(void **state)
{
	struct asked a;

	(void)state;
	for (unsigned rcode = 2; rcode < 16; rcode++) {
		enum dns_reply want =
			rcode == 4 ? DNS_REPLY_PLAIN : DNS_REPLY_FAILED;

		if (rcode == NO_SUCH_NAME)
			continue;
		begin(&a, "n.test", DNS_A, ANSWER_FLAGS | rcode, 0);
		expect(&a, want, DNS_PENDING);
	}
	begin(&a, "n.test", DNS_A, ANSWER_FLAGS | 1, 0);
	expect(&a, DNS_REPLY_PLAIN, DNS_PENDING);
	/* A server that asks nobody else, and does not know. */
	begin(&a, "n.test", DNS_A, 0x8000, 0);
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
}

static void test_an_error_may_come_without_the_question(void **state)
{
	struct asked a;

	(void)state;
	ask(&a, "n.test", DNS_A);
	put_header(&a.packet, ID, ANSWER_FLAGS | 1, 0);
	a.packet.p[5] = 0;
	expect(&a, DNS_REPLY_PLAIN, DNS_PENDING);
	ask(&a, "n.test", DNS_A);
	put_header(&a.packet, ID, ANSWER_FLAGS | 5, 0);
	a.packet.p[5] = 0;
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
	/* No answer can. */
	ask(&a, "n.test", DNS_A);
	put_header(&a.packet, ID, ANSWER_FLAGS | NO_SUCH_NAME, 0);
	a.packet.p[5] = 0;
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
}

static void test_a_cut_answer_is_asked_for_again(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS | 0x200, 5);
	expect(&a, DNS_REPLY_CUT, DNS_PENDING);
}

/* ---- aliases ---- */

static void test_aliases_are_followed(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "a.test", DNS_A, ANSWER_FLAGS, 3);
	put_record(&a.packet, "c.test", DNS_A, VIEW("\x7f\0\0\2"));
	put_record(&a.packet, "b.test", ns_t_cname, VIEW("\1C\4test\0"));
	put_record(&a.packet, "a.test", ns_t_cname, VIEW("\1b\4test\0"));
	expect(&a, DNS_REPLY_ANSWER, DNS_FOUND);
	/* To where nothing is. */
	begin(&a, "a.test", DNS_A, ANSWER_FLAGS, 1);
	put_record(&a.packet, "a.test", ns_t_cname, VIEW("\1b\4test\0"));
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
	/* In a circle. */
	begin(&a, "a.test", DNS_A, ANSWER_FLAGS, 2);
	put_record(&a.packet, "a.test", ns_t_cname, VIEW("\1b\4test\0"));
	put_record(&a.packet, "b.test", ns_t_cname, VIEW("\1a\4test\0"));
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
}

/* ---- nonsense ---- */

static void test_other_questions_answers_are_foreign(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 0);
	a.packet.p[1] ^= 1;
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	begin(&a, "h.test", DNS_A, 0x0100, 0); /* a question */
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	begin(&a, "h.test", DNS_A, 0x8180 | 0x2000, 0); /* NOTIFY */
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 0);
	a.packet.p[13] = 'i';
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 0);
	a.packet.p[a.packet.len - 3] = DNS_TXT;
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 0);
	a.packet.p[5] = 2;
	expect(&a, DNS_REPLY_FOREIGN, DNS_PENDING);
	/* The case of letters is the server's choice. */
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS | NO_SUCH_NAME, 0);
	a.packet.p[13] = 'H';
	expect(&a, DNS_REPLY_ANSWER, DNS_NONE);
}

static void test_every_beginning_of_an_answer_is_no_answer(void **state)
{
	struct asked a;
	size_t len;

	(void)state;
	begin(&a, "h.test", DNS_MX, ANSWER_FLAGS, 1);
	put_record(&a.packet, "h.test", DNS_MX, VIEW("\0\5\2mx\xc0\x0c"));
	len = a.packet.len;
	for (size_t i = 0; i < len; i++) {
		str_truncate(&a.packet, i);
		assert_int_not_equal(read_it(&a), DNS_REPLY_ANSWER);
		a.packet.len = len;
	}
	assert_int_equal(read_it(&a), DNS_REPLY_ANSWER);
	done(&a);
}

/* IM7 */
static void test_damaged_data_is_a_failure(void **state)
{
	static const struct {
		enum dns_type type;
		struct view data;
	} cases[] = {
		{ DNS_A, { "\x7f\0\0", 3 } },
		{ DNS_A, { "\x7f\0\0\1\1", 5 } },
		{ DNS_A, { "", 0 } },
		{ DNS_AAAA, { "\x7f\0\0\1", 4 } },
		{ DNS_MX, { "\0\1", 2 } },
		{ DNS_MX, { "\0", 1 } },
		{ DNS_MX, { "\0\1\0x", 4 } },
		{ DNS_MX, { "\0\1\2mx", 5 } },
		{ DNS_MX, { "\0\1\xff\xff", 4 } },
		/* The name is itself: 12, question 12, name 8, 10, 2. */
		{ DNS_MX, { "\0\1\xc0\x2c", 4 } },
		{ DNS_PTR, { "", 0 } },
		{ DNS_PTR, { "\xc0", 1 } },
		{ DNS_PTR, { "\0\0", 2 } },
		{ DNS_TXT, { "", 0 } },
		{ DNS_TXT, { "\2x", 2 } },
		{ DNS_TXT, { "\1x\1", 3 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct asked a;

		begin(&a, "h.test", cases[i].type, ANSWER_FLAGS, 1);
		put_record(&a.packet, "h.test", cases[i].type, cases[i].data);
		expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
	}
}

static void test_names_that_point_at_each_other(void **state)
{
	struct asked a;

	(void)state;
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 1);
	assert_int_equal(a.packet.len, 24);
	str_append(&a.packet, VIEW("\xc0\x1a\xc0\x18")); /* at 24 and 26 */
	put_data(&a.packet, DNS_A, VIEW("\x7f\0\0\1"));
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 1);
	str_append(&a.packet, VIEW("\xc0\x18")); /* itself */
	put_data(&a.packet, DNS_A, VIEW("\x7f\0\0\1"));
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
	/* More records than there are. */
	begin(&a, "h.test", DNS_A, ANSWER_FLAGS, 65535);
	expect(&a, DNS_REPLY_FAILED, DNS_PENDING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_can_and_cannot_be),
		cmocka_unit_test(test_a_query_byte_by_byte),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_mail_exchangers_and_pointers),
		cmocka_unit_test(test_a_hundred_records),
		cmocka_unit_test(test_no_such_name_is_not_trouble),
		cmocka_unit_test(test_trouble_is_not_no),
		cmocka_unit_test(test_an_error_may_come_without_the_question),
		cmocka_unit_test(test_a_cut_answer_is_asked_for_again),
		cmocka_unit_test(test_aliases_are_followed),
		cmocka_unit_test(test_other_questions_answers_are_foreign),
		cmocka_unit_test(
			test_every_beginning_of_an_answer_is_no_answer),
		cmocka_unit_test(test_damaged_data_is_a_failure),
		cmocka_unit_test(test_names_that_point_at_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
