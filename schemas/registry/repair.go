package registry

import (
	"encoding/json"
	"maps"
	"slices"
)

// What keeps the topic true beyond the state it describes now: ids given out,
// spellings of keys, and records that a lost conflict left behind.

// applyHighWater takes the mark that our own NOOP records carry. Another
// registry's NOOP has no value and wipes it from the topic, not from memory.
func (st *state) applyHighWater(r logRecord) {
	var v highWater
	if r.value != nil {
		if err := json.Unmarshal(r.value, &v); err != nil {
			v = highWater{}
		}
	}
	for _, space := range st.contexts {
		space.hint = 0
	}
	for context, id := range v.MaxIDs {
		space := st.space(context)
		space.hint = id
		space.max = max(space.max, id)
	}
}

// forgetful reports whether the topic alone would not tell an id that was given
// out: it is in no surviving record and above the mark.
func (st *state) forgetful() bool {
	for _, space := range st.contexts {
		if space.hint < space.max && space.byID[space.max] == nil {
			return true
		}
	}
	return false
}

// maxIDs is the high-water mark to save.
func (st *state) maxIDs() map[string]int {
	out := map[string]int{}
	for context, space := range st.contexts {
		if space.max > 0 {
			out[context] = space.max
		}
	}
	return out
}

// markBefore returns the record that must precede tombstones of schemas in
// these contexts: the high-water mark, where the topic does not have it yet.
func (st *state) markBefore(contexts ...string) []record {
	for _, c := range contexts {
		if space := st.contexts[c]; space != nil && space.hint < space.max {
			return []record{noopRecord(st.maxIDs())}
		}
	}
	return nil
}

// repairs returns records that put back, as the latest of their keys, what a
// lost conflict or another registry's NOOP has hidden from compaction.
func (st *state) repairs() []record {
	var out []record
	if st.forgetful() {
		out = append(out, noopRecord(st.maxIDs()))
	}
	for k := range st.shadowed {
		out = append(out, record{key: k, value: st.value(k)})
	}
	slices.SortFunc(out, func(a, b record) int { return slices.Compare(a.key.bytes(), b.key.bytes()) })
	return out
}

// value is what the key's record should hold, nil for nothing.
func (st *state) value(k key) []byte {
	switch k.typ {
	case keySchema:
		if e := st.subjects[k.subject][k.version]; e != nil {
			return schemaRecord(e).value
		}
	case keyConfig:
		if s, ok := st.settings[k.subject]; ok {
			return settingsRecord(k.subject, s).value
		}
	case keyMode:
		if m, ok := st.modes[k.subject]; ok {
			return modeRecord(k.subject, m).value
		}
	case keyContext:
		if st.named[k.context] {
			return contextRecord(k.context).value
		}
	case keyDeleteSubject:
		if v, ok := st.watermarks[k.subject]; ok {
			return deleteSubjectRecord(k.subject, v).value
		}
	}
	return nil
}

// otherSpellings returns the non-canonical key bytes that a tombstone of k has
// to cover too.
func (st *state) otherSpellings(k key) []string {
	return slices.Sorted(maps.Keys(st.spellings[k]))
}

// noteSpelling remembers under which other bytes a key has a record.
func (st *state) noteSpelling(k key, r logRecord) {
	form := string(r.key)
	if form == string(k.bytes()) {
		return
	}
	if r.value == nil {
		delete(st.spellings[k], form)
		if len(st.spellings[k]) == 0 {
			delete(st.spellings, k)
		}
		return
	}
	if st.spellings[k] == nil {
		st.spellings[k] = map[string]bool{}
	}
	st.spellings[k][form] = true
}
