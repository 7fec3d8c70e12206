#include "lib/job.h"
#include "tests/fuzz/fuzz.h"

/* Touch every byte, so that sanitizers see where it lies. */
static size_t sum(struct view v)
{
	size_t total = 0;

	for (size_t i = 0; i < v.len; i++)
		total += (unsigned char)v.p[i];
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view packet = view_make(data, size);
	struct job job;
	struct job_result result;
	struct job_recipient rcpt;
	struct job_report report;
	uint64_t capacity;
	volatile size_t total = 0;
	char space[64];

	if (job_parse(packet, -1, &job) == 0) {
		while (job_next(&job.recipients, &rcpt))
			total += sum(rcpt.address);
		total += sum(job.sender) + sum(job.host) + sum(job.message) +
			 sum(job.ext) + sum(job.default_delivery);
		for (uint64_t at = 0; at <= job.size + 1; at += sizeof(space))
			if (job_message_read(&job, space, sizeof(space), at) <
			    0)
				__builtin_trap();
	}
	if (job_result_parse(packet, &result) == 0)
		while (job_next_outcome(&result.outcomes, &report))
			total += sum(report.text);
	if (job_hello_parse(packet, &capacity) == 0)
		total += capacity;
	return 0;
}
