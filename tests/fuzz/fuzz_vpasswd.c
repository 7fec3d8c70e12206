/*
 * Records of vpasswd, names, quotas and maildirsize: what is accepted says
 * the same when it is written and read again.
 */
#include <assert.h>

#include "lib/maildirsize.h"
#include "lib/vname.h"
#include "lib/vpasswd.h"
#include "lib/vquota.h"
#include "tests/fuzz/fuzz.h"

static void try_record(struct view text)
{
	struct view name = view_cut(&text, ':');
	struct vpasswd_record record;
	struct vpasswd_record again;
	struct str written = { 0 };

	if (vpasswd_parse(name, text, &record) == -1)
		return;
	vpasswd_format(&written, &record);
	assert(vpasswd_parse(name, str_view(&written), &again) == 0);
	assert(view_eq(record.crypt, again.crypt));
	assert(record.uid == again.uid && record.gid == again.gid);
	assert(view_eq(record.dir, again.dir));
	assert(view_eq(record.quota, again.quota));
	assert(view_eq(record.clear, again.clear));
	str_free(&written);
}

static void try_quota(struct view text)
{
	struct vquota quota;
	struct vquota again;
	struct str written = { 0 };

	if (vquota_parse(text, &quota) == -1)
		return;
	vquota_format(&written, &quota);
	assert(vquota_parse(str_view(&written), &again) == 0);
	assert(quota.bytes == again.bytes);
	assert(quota.messages == again.messages);
	str_free(&written);
}

static void try_names(struct view text)
{
	struct str name = { 0 };
	struct view user;
	struct view domain;

	vname_split(text, &user, &domain);
	if (vname_user(user, &name) == VNAME_OK)
		assert(name.len > 0 && name.p[0] != '.' &&
		       !view_has(str_view(&name), '/') &&
		       !view_has(str_view(&name), ':') &&
		       vpasswd_is_field(str_view(&name)));
	if (vname_domain(domain, &name) == VNAME_OK)
		assert(name.len > 0 && name.p[0] != '.' &&
		       !view_has(str_view(&name), '/') &&
		       vpasswd_is_field(str_view(&name)));
	str_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	const struct vquota quota = { .bytes = 1000, .messages = 5 };
	struct maildirsize usage;
	size_t lines;
	uint64_t number;
	bool trashed;

	try_record(text);
	try_quota(text);
	try_names(text);
	if (maildirsize_parse(text, &quota, &usage, &lines) == 0)
		assert(lines > 0 && usage.bytes <= INT64_MAX);
	if (maildirsize_of_name(text, &number, &trashed))
		assert(size > 3);
	return 0;
}
