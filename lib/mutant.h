#ifndef LIB_MUTANT_H
#define LIB_MUTANT_H

/*
 * Faults on purpose, to see that the tests find them.
 *
 *	make MUTANT=queue_no_sync TEST=1 ...
 *
 * builds programs with exactly one of these into build-mutant-queue_no_sync/.
 * In every other build MUTANT() is false, and nothing of it is left. The
 * power-cut suite fails unless it catches each (tests/faults/).
 */

enum mutant {
	MUTANT_queue_no_sync = 1,   /* a committer does not sync the file */
	MUTANT_queue_syncs_other,   /* ... but something else */
	MUTANT_queue_no_dir_sync,   /* nor, in posix mode, its folder */
	MUTANT_queue_answers_first, /* answers and triggers, then syncs */
	MUTANT_log_no_sync,         /* nor a segment of the log */
	MUTANT_log_syncs_other,     /* ... but its folder */
	MUTANT_spill_no_sync,       /* a record is let go, its file unsynced */
	MUTANT_maildir_no_sync,     /* a message is not synced */
	MUTANT_maildir_no_dir_sync, /* in posix mode its name in new/ is not */
	MUTANT_maildir_syncs_early, /* in journal mode it is synced unnamed */
	MUTANT_maildir_journal_anywhere, /* journal mode on every disk */
	MUTANT_maildir_trusts_names, /* one found in new/ is taken for whole */
	MUTANT_done_first,           /* marked before it is delivered */
	MUTANT_mess_no_dir_sync, /* taken over by rename in posix mode too */
};

#ifdef VALIJA_MUTANT
#define MUTANT(name) (VALIJA_MUTANT == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

#endif
