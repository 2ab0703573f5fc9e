// Package searchsync keeps a search index in step with the platform's topics:
// products and customers from the change topics of their tables, orders from
// their events, log lines from the log topic.
//
// It promises that the index converges to the topics however records are
// repeated or reordered: every document carries the version of the state it
// shows, an older state never replaces a newer, and a delete leaves its version
// behind. Offsets are committed after the index has made a batch durable.
//
// The index is behind a port, [Index], with two implementations under one
// contract (index_test.go): bleve, embedded, and OpenSearch 2 where
// QUOKKA_SEARCH_URL names one. Both understand one query language, bleve's.
// An OpenSearch that is away, busy or ill is waited for; a document that it
// will never take goes to the dead-letter topic.
package searchsync
