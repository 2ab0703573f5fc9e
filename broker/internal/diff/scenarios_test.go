package diff

import "hash/crc32"

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// scenarios are written by hand, one for each thing that clients rely on.
var scenarios = []scenario{
	{"produce", produceVersions},
	{"produce-refused", produceRefused},
	{"codecs", codecs},
	{"idempotence", idempotence},
	{"fetch", fetching},
	{"fetch-sessions", fetchSessions},
	{"list-offsets", listingOffsets},
	{"api-versions", apiVersions},
	{"metadata", metadata},
	{"create-topics", createTopics},
	{"delete-topics", deleteTopics},
	{"configs", configs},
	{"one-broker", oneBroker},
	{"quotas", quotas},
	{"users", users},
	{"groups", groups},
	{"joining", joining},
	{"static-members", staticMembers},
	{"offsets", offsets},
	{"txn-old", txnOld},
	{"txn-new", txnNew},
	{"txn-aborted", txnAborted},
	{"txn-offsets", txnOffsets},
	{"consumer-groups", consumerGroups},
	{"consumer-refused", consumersRefused},
	{"consumer-fenced", consumersFenced},
	{"consumer-static", consumersStatic},
	{"consumer-regex", consumersRegex},
	{"migration", migration},
}
