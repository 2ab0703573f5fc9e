package templateplain

import (
	"slices"
	"sync"
	"time"
)

// Sighting is what the service knows of one event. It stands for whatever the
// service is about: this file has its types and rules, and no I/O.
type Sighting struct {
	// EventID is the id of the event.
	EventID string `json:"event_id"`
	// Topic and Type say where it came from and what happened.
	Topic string `json:"topic"`
	Type  string `json:"type"`
	// Subject is what the event is about, such as an order's id; empty if it does
	// not say.
	Subject string `json:"subject"`
	// SeenAt is when this instance of the service saw it.
	SeenAt time.Time `json:"seen_at"`
}

// Recent keeps the sightings of the last events: those that this instance saw since
// it started, each once, though without a database an event may come again.
type Recent struct {
	mu   sync.Mutex
	kept []Sighting // the newest last
}

// recentLimit is how many sightings are kept.
const recentLimit = 500

// Add keeps a sighting; fresh is false if that of its event is kept already.
func (r *Recent) Add(s Sighting) (fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.kept, func(k Sighting) bool { return k.EventID == s.EventID }) {
		return false
	}
	if r.kept = append(r.kept, s); len(r.kept) > recentLimit {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	return true
}

// List returns the newest sightings first; an empty subject selects all.
func (r *Recent) List(subject string, limit int) []Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Sighting{}
	for _, s := range slices.Backward(r.kept) {
		if len(out) == limit {
			break
		}
		if subject == "" || s.Subject == subject {
			out = append(out, s)
		}
	}
	return out
}
