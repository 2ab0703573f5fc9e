// Package searchsync keeps a search index in step with the platform's topics:
// products and customers from the change topics of their tables, orders from
// their events, log lines from the log topic.
//
// It promises that the index converges to the topics however records are
// repeated or reordered: every document carries the version of the state it
// shows, an older state never replaces a newer, and a delete leaves its version
// behind. Offsets are committed after the index has made a batch durable.
package searchsync
