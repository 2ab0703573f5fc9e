package consumergroup

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"time"
)

// resolved is a regular expression with the topics that it matches.
type resolved struct {
	re     *regexp.Regexp
	Topics []string // sorted
	// At and Version tell when it was resolved, for the record.
	At      time.Time
	Version int64
}

// maxRegex bounds an expression: it is the name of its record.
const maxRegex = 32 << 10

// compile compiles an expression that has to match a whole topic name. Kafka's
// are RE2's, as Go's.
func compile(expr string) (*regexp.Regexp, error) {
	if len(expr) >= maxRegex {
		return nil, errors.New("it is longer than 32 KiB")
	}
	if _, err := regexp.Compile(expr); err != nil { // before something is put around it
		return nil, err
	}
	return regexp.Compile(`\A(?:` + expr + `)\z`)
}

// resolve looks for the topics that an expression matches; visible hides those
// that the asking client may not know of.
func (g *Group) resolve(w World, expr string, visible func(topic string) bool) (changed bool) {
	r := g.regexes[expr]
	var topics []string
	for t := range w.Topics.All() {
		if r.re.MatchString(t.Name) && visible(t.Name) {
			topics = append(topics, t.Name)
		}
	}
	slices.Sort(topics)
	if r.Version >= 0 && slices.Equal(topics, r.Topics) {
		return false
	}
	r.Topics, r.At, r.Version = topics, w.Now, w.Version
	g.changed(RegularExpression, expr)
	return true
}

// refresh brings what the group knows of its topics up to date with the world.
// It says whether the members are to be assigned anew because of it. Expressions
// are looked at when it is known what the asking client may see.
func (g *Group) refresh(w World, subscriptionChanged bool, visible func(topic string) bool) bool {
	if w.Version == g.seen && !subscriptionChanged {
		return false
	}
	changed := false
	if visible != nil {
		for expr, r := range g.regexes {
			if w.Version != g.seen || r.Version < 0 {
				changed = g.resolve(w, expr, visible) || changed
			}
		}
		g.seen = w.Version
	}
	if hash := g.hashTopics(w); hash != g.topicsHash {
		g.topicsHash = hash
		changed = true
	}
	return changed
}

// forgetRegexes drops expressions that no member subscribes to.
func (g *Group) forgetRegexes() {
	used := map[string]bool{}
	for _, m := range g.members {
		used[m.Regex] = true
	}
	for expr, r := range g.regexes {
		if !used[expr] {
			delete(g.regexes, expr)
			if r.Version >= 0 { // else nothing was written of it yet
				g.changed(RegularExpression, expr)
			}
		}
	}
}

// addRegex makes an expression known, to be resolved by refresh.
func (g *Group) addRegex(expr string) error {
	if expr == "" || g.regexes[expr] != nil {
		return nil
	}
	re, err := compile(expr)
	if err != nil {
		return err
	}
	g.regexes[expr] = &resolved{re: re, Version: -1}
	return nil
}

// subscribed returns the names of the topics a member subscribes to, sorted,
// whether they exist or not.
func (g *Group) subscribed(m *Member) []string {
	r := g.regexes[m.Regex]
	if r == nil || len(r.Topics) == 0 {
		return m.Topics
	}
	if len(m.Topics) == 0 {
		return r.Topics
	}
	all := slices.Concat(m.Topics, r.Topics)
	slices.Sort(all)
	return slices.Compact(all)
}

// Subscribed says whether any member subscribes to a topic.
func (g *Group) Subscribed(topic string) bool {
	for _, m := range g.members {
		if _, ok := slices.BinarySearch(g.subscribed(m), topic); ok {
			return true
		}
	}
	return false
}

// hashTopics sums up the subscribed topics that exist: names, ids, partitions.
func (g *Group) hashTopics(w World) int64 {
	names := map[string]struct{}{}
	for _, m := range g.members {
		for _, name := range g.subscribed(m) {
			names[name] = struct{}{}
		}
	}
	h := fnv.New64a()
	found := false
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if t, ok := w.Topics.ByName(name); ok {
			found = true
			b = append(b[:0], name...)
			b = append(append(b, 0), t.ID[:]...)
			b = binary.BigEndian.AppendUint32(b, uint32(t.Partitions))
			_, _ = h.Write(b) // never fails
		}
	}
	if !found {
		return 0
	}
	return int64(h.Sum64())
}
