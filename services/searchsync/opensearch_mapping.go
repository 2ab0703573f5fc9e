package searchsync

// Every stored document has, beside the fields it came with, one object of ours.
// Our own part of the mapping is in it, so that no column can collide with it.
const (
	metaField = "quokka"
	// metaWords holds all words of the document, metaExact all values that are
	// matched as a whole: a search that names no field looks here.
	metaWords = metaField + ".words"
	metaExact = metaField + ".exact"
	// metaPairs holds path=value of nested values.
	metaPairs   = metaField + ".pairs"
	metaDeleted = metaField + ".deleted"
)

// openSearchMeta is that object. What a delete leaves is a document too, with
// its version and nothing to find: OpenSearch itself forgets the versions of
// deleted documents after a minute (index.gc_deletes).
type openSearchMeta struct {
	Version string `json:"version"`
	Deleted bool   `json:"deleted,omitempty"`
	Partial bool   `json:"partial,omitempty"`
	// Words and Pairs are the nested values, which have no field of their own:
	// log lines have attributes of any name, and a field for each would end at
	// index.mapping.total_fields.limit, or when "a" and "a.b" meet.
	Words []string `json:"words,omitempty"`
	Pairs []string `json:"pairs,omitempty"`
}

// longestTerm is in characters; Lucene refuses a document with a term of more
// than 32,766 bytes, and a character has at most four. Longer values are kept
// but not found as a whole.
const longestTerm = 8191

// openSearchIndex is settings and mapping of each index.
func openSearchIndex() map[string]any {
	exact := map[string]any{"type": "keyword", "ignore_above": longestTerm, "copy_to": metaExact}
	date := map[string]any{"type": "date"}
	number := map[string]any{"type": "double", "copy_to": metaWords}
	properties := map[string]any{
		metaField: map[string]any{"dynamic": false, "properties": map[string]any{
			"words":   map[string]any{"type": "text"},
			"exact":   map[string]any{"type": "keyword", "ignore_above": longestTerm},
			"pairs":   map[string]any{"type": "keyword", "ignore_above": longestTerm},
			"deleted": map[string]any{"type": "boolean"},
		}},
		// What dashboards draw their time axis by.
		"time": date, "placed_at": date,
	}
	for _, name := range exactFields {
		properties[name] = exact
	}
	return map[string]any{
		"settings": map[string]any{"index": map[string]any{
			// Apply's promise: answered is on disk. It is the default; a cluster's
			// templates may say otherwise.
			"translog": map[string]any{"durability": "request"},
			// A catalogue and a day of logs fit one shard; a second node gets a copy,
			// and a single one is not yellow for the lack of it.
			"number_of_shards": 1, "auto_expand_replicas": "0-1",
			// A column whose type changed, or a date nobody can read, is kept and not
			// found by that field; without this the document would be refused.
			"mapping": map[string]any{"ignore_malformed": true},
			// As bleve's standard analyser: words in lower case, without "the".
			"analysis": map[string]any{"analyzer": map[string]any{"default": map[string]any{"type": "standard", "stopwords": "_english_"}}},
		}},
		"mappings": map[string]any{
			// A text that happens to look like a date would make all later ones dates.
			"date_detection": false,
			// Columns come and go with their tables.
			"dynamic_templates": []any{
				// In words and pairs instead, see openSearchMeta.
				map[string]any{"objects": map[string]any{"match_mapping_type": "object", "mapping": map[string]any{"type": "object", "enabled": false}}},
				map[string]any{"texts": map[string]any{"match_mapping_type": "string", "mapping": map[string]any{"type": "text", "copy_to": metaWords}}},
				// The first price may be 10 and the next 9.50.
				map[string]any{"wholes": map[string]any{"match_mapping_type": "long", "mapping": number}},
				map[string]any{"fractions": map[string]any{"match_mapping_type": "double", "mapping": number}},
			},
			"properties": properties,
		},
	}
}
