#include "lib/vquota.h"

/* `123`, `10M`, `10MB`, `123S`: bytes. */
static int parse_bytes(struct view part, uint64_t *bytes)
{
	unsigned shift = 0;
	size_t digits = 0;
	struct view suffix;

	while (digits < part.len && part.p[digits] >= '0' &&
	       part.p[digits] <= '9')
		digits++;
	suffix = view_from(part, digits);
	if (view_starts_nocase(suffix, VIEW("k")))
		shift = 10;
	else if (view_starts_nocase(suffix, VIEW("m")))
		shift = 20;
	else if (view_starts_nocase(suffix, VIEW("g")))
		shift = 30;
	if (shift)
		suffix = view_from(suffix, 1);
	if (suffix.len && !view_eq_nocase(suffix, VIEW("b")) &&
	    !view_eq_nocase(suffix, VIEW("s")))
		return -1;
	if (!view_u64(view_first(part, digits), bytes) ||
	    __builtin_mul_overflow(*bytes, (uint64_t)1 << shift, bytes))
		return -1;
	return 0;
}

int vquota_parse(struct view text, struct vquota *quota)
{
	*quota = (struct vquota){ 0 };
	if (text.len == 0 || view_eq_nocase(text, VIEW("NOQUOTA")))
		return 0;
	while (text.p) {
		struct view part = view_cut(&text, ',');
		int result;

		if (view_ends_nocase(part, VIEW("c")))
			result = view_u64(view_first(part, part.len - 1),
					  &quota->messages)
					 ? 0
					 : -1;
		else
			result = parse_bytes(part, &quota->bytes);
		if (result == -1)
			return -1;
	}
	return 0;
}

void vquota_format(struct str *to, const struct vquota *quota)
{
	if (!quota->bytes && !quota->messages)
		str_append(to, VIEW("NOQUOTA"));
	if (quota->bytes)
		str_appendf(to, "%lluS", (unsigned long long)quota->bytes);
	if (quota->bytes && quota->messages)
		str_append_byte(to, ',');
	if (quota->messages)
		str_appendf(to, "%lluC", (unsigned long long)quota->messages);
}
