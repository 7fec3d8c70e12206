#include "queue/request.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/enqueue.h"
#include "lib/qfile.h"

/*
 * Everything that a request gives, as text: H for hello, M(bytes), R(number
 * of record bytes), E for the end, and the code of a refusal.
 */
static void tell(struct str *told, struct request *r, struct view input)
{
	struct request_event event;

	for (;;) {
		switch (request_next(r, &input, &event)) {
		case REQUEST_MORE:
			return;
		case REQUEST_HELLO:
			str_append_c(told, "H");
			break;
		case REQUEST_MESSAGE:
			str_append(told, event.bytes);
			break;
		case REQUEST_RECORDS:
			str_appendf(told, "R%zu", event.bytes.len);
			break;
		case REQUEST_END:
			str_append_c(told, "E");
			break;
		case REQUEST_BAD:
			str_appendf(told, "!%d", event.code);
			break;
		}
	}
}

static void assert_told(struct view input, const char *want)
{
	struct str told = { 0 };
	struct request r = { 0 };

	tell(&told, &r, input);
	assert_string_equal(str_c(&told), want);
	request_free(&r);

	/* The same, byte by byte. */
	str_reset(&told);
	for (size_t i = 0; i < input.len; i++)
		tell(&told, &r, view_make(input.p + i, 1));
	assert_string_equal(str_c(&told), want);
	request_free(&r);
	str_free(&told);
}

struct line {
	uint64_t type;
	struct view value;
};

static void append_lines(struct str *to, const struct line *lines, size_t n)
{
	for (size_t i = 0; i < n && lines[i].type; i++)
		record_append(to, lines[i].type, lines[i].value);
}

/* A whole request around these envelope records. */
static void whole_request(struct str *to, struct view records)
{
	str_reset(to);
	record_append(to, ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL));
	record_append(to, ENQUEUE_CHUNK, VIEW("message"));
	record_append(to, ENQUEUE_ENVELOPE, records);
	record_append(to, ENQUEUE_END, VIEW(""));
}

static void test_whole_request(void **state)
{
	struct str records = { 0 };
	struct str input = { 0 };
	struct str twice = { 0 };

	(void)state;
	record_append(&records, QFILE_SENDER, VIEW("s"));
	record_append(&records, QFILE_RECIPIENT, VIEW("Wr"));
	whole_request(&input, str_view(&records));
	assert_told(str_view(&input), "HmessageR35E");
	/* Nothing but another HELLO makes sense behind END. */
	str_append_c(&input, "anything at all, as long as it likes to be");
	assert_told(str_view(&input), "HmessageR35E!91");
	whole_request(&input, str_view(&records));
	str_append(&twice, str_view(&input));
	str_append(&twice, str_view(&input));
	assert_told(str_view(&twice), "HmessageR35EHmessageR35E");
	str_free(&twice);
	str_free(&records);
	str_free(&input);
}

static void test_orders(void **state)
{
#define HELLO                                                                  \
	{                                                                      \
		ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL)                          \
	}
#define CHUNK                                                                  \
	{                                                                      \
		ENQUEUE_CHUNK, VIEW("m")                                       \
	}
#define SENDER                                                                 \
	{                                                                      \
		ENQUEUE_ENVELOPE, VIEW("\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0s")    \
	}
#define RCPT                                                                   \
	{                                                                      \
		ENQUEUE_ENVELOPE, VIEW("\20\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0Wr")  \
	}
#define END                                                                    \
	{                                                                      \
		ENQUEUE_END, VIEW("")                                          \
	}
	const struct {
		const char *label;
		const char *want;
		struct line lines[8];
	} cases[] = {
		{ "pieces",
		  "HmmR17R18R18E",
		  { HELLO, CHUNK, CHUNK, SENDER, RCPT, RCPT, END } },
		{ "empty message", "HR17R18E", { HELLO, SENDER, RCPT, END } },
		{ "empty pieces",
		  "HR0R17R18E",
		  { HELLO,
		    { ENQUEUE_CHUNK, VIEW("") },
		    { ENQUEUE_ENVELOPE, VIEW("") },
		    SENDER,
		    RCPT,
		    END } },
		{ "no hello", "!91", { CHUNK } },
		{ "two hellos", "H!91", { HELLO, HELLO } },
		{ "another version",
		  "!81",
		  { { ENQUEUE_HELLO, VIEW("valija-enqueue 2") } } },
		{ "a long hello",
		  "!91",
		  { { ENQUEUE_HELLO,
		      VIEW("0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789") } } },
		{ "message after envelope",
		  "HR17!91",
		  { HELLO, SENDER, CHUNK } },
		{ "end at once", "H!91", { HELLO, END } },
		{ "end without envelope", "Hm!91", { HELLO, CHUNK, END } },
		{ "no recipient", "HmR17!91", { HELLO, CHUNK, SENDER, END } },
		{ "end with a value",
		  "HR17R18!91",
		  { HELLO, SENDER, RCPT, { ENQUEUE_END, VIEW("x") } } },
		{ "a server's record",
		  "H!91",
		  { HELLO, { ENQUEUE_GO, VIEW("") } } },
		{ "an unknown record", "H!91", { HELLO, { 4711, VIEW("") } } },
	};
	struct str input = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&input);
		append_lines(&input, cases[i].lines, COUNT_OF(cases[i].lines));
		assert_told(str_view(&input), cases[i].want);
	}
	str_free(&input);
}

static char long_text[5000];

static void test_envelope_records(void **state)
{
	struct view long_view = view_make(long_text, 1004);
	struct view rcpt_ok = view_make(long_text, 1004); /* W and 1003 */
	struct view rcpt_long = view_make(long_text, 1005);
	struct view param_ok = view_make(long_text, 4096);
	struct view param_long = view_make(long_text, 4097);
	struct view longest = view_make(long_text, 1003);
	const struct {
		const char *label;
		int code; /* 0: fine */
		struct line lines[5];
	} cases[] = {
		{ "all that clients may say",
		  0,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_BODY, VIEW("8BITMIME") },
		    { QFILE_RECIPIENT, VIEW("Wr") },
		    { QFILE_NOTIFY, VIEW("NEVER") },
		    { QFILE_ORCPT, VIEW("rfc822;r") } } },
		{ "the other ones",
		  0,
		  { { QFILE_SENDER, VIEW("") },
		    { QFILE_SMTPUTF8, VIEW("") },
		    { QFILE_REQUIRETLS, VIEW("") },
		    { QFILE_SESSION, VIEW("4711.1") },
		    { QFILE_RECIPIENT, VIEW("W") } } },
		{ "RET and ENVID",
		  0,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RET, VIEW("HDRS") },
		    { QFILE_ENVID, VIEW("QQ314159") },
		    { QFILE_RECIPIENT, VIEW("Wr") } } },
		{ "newline in an address",
		  0,
		  { { QFILE_SENDER, VIEW("a\nb") },
		    { QFILE_RECIPIENT, VIEW("Wa\nb") } } },
		{ "longest addresses",
		  0,
		  { { QFILE_SENDER, longest }, { QFILE_RECIPIENT, rcpt_ok } } },
		{ "long sender", 11, { { QFILE_SENDER, long_view } } },
		{ "long recipient",
		  11,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, rcpt_long } } },
		{ "recipient first", 91, { { QFILE_RECIPIENT, VIEW("Wr") } } },
		{ "body first", 91, { { QFILE_BODY, VIEW("7BIT") } } },
		{ "two senders",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_SENDER, VIEW("s") } } },
		{ "NUL in the sender", 91, { { QFILE_SENDER, VIEW("a\0b") } } },
		{ "NUL in a recipient",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Wa\0b") } } },
		{ "recipient without state",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("") } } },
		{ "recipient delivered already",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Dr") } } },
		{ "uid of its own",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_UID, VIEW("\0\0\0\0\0\0\0\0") } } },
		{ "pid of its own",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_PID, VIEW("\0\0\0\0\0\0\0\0") } } },
		{ "unknown type",
		  91,
		  { { QFILE_SENDER, VIEW("s") }, { 1000, VIEW("x") } } },
		{ "body after a recipient",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Wr") },
		    { QFILE_BODY, VIEW("7BIT") } } },
		{ "notify of nobody",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_NOTIFY, VIEW("NEVER") } } },
		{ "another body",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_BODY, VIEW("BINARYMIME") } } },
		{ "newline in ORCPT",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Wr") },
		    { QFILE_ORCPT, VIEW("rfc822;a\nTo: b") } } },
		{ "longest ORCPT",
		  0,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Wr") },
		    { QFILE_ORCPT, param_ok } } },
		{ "long ORCPT",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_RECIPIENT, VIEW("Wr") },
		    { QFILE_ORCPT, param_long } } },
		{ "SMTPUTF8 with a value",
		  91,
		  { { QFILE_SENDER, VIEW("s") },
		    { QFILE_SMTPUTF8, VIEW("x") } } },
	};
	struct str records = { 0 };
	struct str input = { 0 };
	struct str told = { 0 };

	(void)state;
	memset(long_text, 'W', sizeof(long_text));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct request r = { 0 };
		struct str want = { 0 };

		str_reset(&records);
		append_lines(&records, cases[i].lines,
			     COUNT_OF(cases[i].lines));
		whole_request(&input, str_view(&records));
		if (cases[i].code)
			str_appendf(&want, "Hmessage!%d", cases[i].code);
		else
			str_appendf(&want, "HmessageR%zuE", records.len);
		str_reset(&told);
		tell(&told, &r, str_view(&input));
		if (!view_eq(str_view(&told), str_view(&want)))
			fail_msg("%s: %s", cases[i].label, str_c(&told));
		request_free(&r);
		str_free(&want);
	}
	str_free(&records);
	str_free(&input);
	str_free(&told);
}

static void test_broken_records_are_refused(void **state)
{
	struct str records = { 0 };
	struct str input = { 0 };

	(void)state;
	record_append(&records, QFILE_SENDER, VIEW("s"));
	record_append(&records, QFILE_RECIPIENT, VIEW("Wr"));
	str_truncate(&records, records.len - 1);
	whole_request(&input, str_view(&records));
	assert_told(str_view(&input), "Hmessage!91");
	str_free(&records);
	str_free(&input);
}

static void test_long_pieces_are_refused_at_their_head(void **state)
{
	static const uint64_t types[] = { ENQUEUE_CHUNK, ENQUEUE_ENVELOPE };
	static const uint64_t lens[] = { ENQUEUE_PIECE_MAX + 1, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		for (size_t j = 0; j < COUNT_OF(lens); j++) {
			struct str input = { 0 };
			char head[RECORD_HEAD_BYTES];

			record_append(&input, ENQUEUE_HELLO,
				      VIEW(ENQUEUE_PROTOCOL));
			le64_write(head, types[i]);
			le64_write(head + 8, lens[j]);
			str_append(&input, view_make(head, sizeof(head)));
			assert_told(str_view(&input), "H!91");
			str_free(&input);
		}
	}
}

static void test_endless_envelope_is_refused_for_good(void **state)
{
	struct request r = { 0 };
	struct str records = { 0 };
	struct str input = { 0 };
	struct str told = { 0 };

	(void)state;
	record_append(&input, ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL));
	record_append(&records, QFILE_SENDER, VIEW("s"));
	record_append(&input, ENQUEUE_ENVELOPE, str_view(&records));
	tell(&told, &r, str_view(&input));
	str_reset(&records);
	while (records.len < ENQUEUE_PIECE_MAX - 100)
		record_append(&records, QFILE_RECIPIENT, VIEW("Wr@example"));
	str_reset(&input);
	record_append(&input, ENQUEUE_ENVELOPE, str_view(&records));
	for (size_t sent = 0; sent <= REQUEST_ENVELOPE_MAX;
	     sent += records.len) {
		str_reset(&told);
		tell(&told, &r, str_view(&input));
	}
	assert_string_equal(str_c(&told), "!31");
	assert_true(r.piece.cap < 3 * ENQUEUE_PIECE_MAX);
	request_free(&r);
	str_free(&records);
	str_free(&input);
	str_free(&told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_request),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_envelope_records),
		cmocka_unit_test(test_broken_records_are_refused),
		cmocka_unit_test(test_long_pieces_are_refused_at_their_head),
		cmocka_unit_test(test_endless_envelope_is_refused_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
