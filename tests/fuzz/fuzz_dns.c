/*
 * A stranger's answer to a question of ours: byte 0 chooses what is asked
 * about a.test, the packet follows, for id 0x1234. Damage is never an answer,
 * and what is kept came from the packet.
 */
#include <assert.h>

#include "lib/dns_packet.h"
#include "tests/fuzz/fuzz.h"

static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_MX, DNS_PTR,
				       DNS_TXT };

static void check_record(const struct dns_record *record, enum dns_type type,
			 size_t size)
{
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		assert(record->ip.v6 == (type == DNS_AAAA));
		break;
	case DNS_MX:
		assert(record->preference <= 65535);
		assert(record->text.len < 1025);
		break;
	case DNS_PTR:
		assert(record->text.len < 1025);
		break;
	case DNS_TXT:
		assert(record->text.len < size);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer answer = { 0 };
	struct dns_question q;
	enum dns_type type;
	enum dns_reply reply;

	if (size == 0)
		return 0;
	type = types[data[0] % COUNT_OF(types)];
	assert(dns_question_make(&q, VIEW("a.test"), type));
	reply = dns_packet_read(&q, 0x1234, view_make(data + 1, size - 1),
				&answer);
	if (reply == DNS_REPLY_ANSWER) {
		assert(answer.result == (answer.count ? DNS_FOUND : DNS_NONE));
		/* A record has 12 bytes at least. */
		assert(answer.count * 12 < size);
	} else {
		assert(answer.result == DNS_PENDING && answer.count == 0 &&
		       !answer.records);
	}
	for (size_t i = 0; i < answer.count; i++)
		check_record(&answer.records[i], type, size);
	dns_answer_free(&answer);
	return 0;
}
